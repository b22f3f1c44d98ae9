package simulate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/candignode/candignode/api"
	"github.com/candignode/candignode/node"
	"github.com/candignode/candignode/node/config"
	"github.com/candignode/candignode/simulate/idp"
	"github.com/candignode/candignode/trust"
)

// readyTime is how long the demo waits for its sites to find each other and to
// believe their issuers' keys.
const readyTime = 30 * time.Second

// Federation is a Plan at work in this process, on loopback.
type Federation struct {
	Plan    Plan
	Issuers *idp.Server
	web     *http.Server
	sites   map[trust.SiteName]*running
	log     *slog.Logger
}

type running struct {
	node *node.Node
	stop context.CancelFunc
	done chan error
}

// reserved are the sockets of a site, opened before its configuration is
// written, so that the ports are known and ours.
type reserved struct {
	peers net.PacketConn
	api   net.Listener
}

func (r reserved) close() {
	r.peers.Close()
	if r.api != nil {
		r.api.Close()
	}
}

// Start lays a federation out below dir and runs it: an issuer server and a node
// for each site. Ports are the system's choice. Stop it when done, also after an
// error.
func Start(ctx context.Context, dir string, sites []Site, log *slog.Logger) (_ *Federation, err error) {
	f := &Federation{sites: map[trust.SiteName]*running{}, log: log}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	sockets := map[trust.SiteName]reserved{}
	defer func() {
		if err != nil { // those that a node took over are closed already; once more does no harm
			listener.Close()
			for _, r := range sockets {
				r.close()
			}
		}
	}()
	f.Plan = Plan{Dir: dir, IssuerURL: "https://" + listener.Addr().String(), IssuerPoll: 5 * time.Second, SignIn: true}
	for _, s := range sites {
		var r reserved
		if r.peers, err = lc.ListenPacket(ctx, "udp", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		if r.api, err = lc.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			r.close()
			return nil, err
		}
		s.Listen, s.Addr = r.peers.LocalAddr().String(), r.peers.LocalAddr().String()
		s.API, s.URL = r.api.Addr().String(), "http://"+r.api.Addr().String()
		sockets[s.Name] = r
		f.Plan.Sites = append(f.Plan.Sites, s)
	}
	if f.Issuers, err = f.Plan.Write(ctx); err != nil {
		return nil, err
	}
	f.web = &http.Server{Handler: f.Issuers.Handler(), TLSConfig: f.Issuers.TLSConfig(), ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go f.web.ServeTLS(listener, "", "")
	for _, s := range f.Plan.Sites {
		if err := f.run(ctx, s, sockets[s.Name]); err != nil {
			f.Stop()
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
	}
	if err := f.wait(ctx); err != nil {
		f.Stop()
		return nil, err
	}
	return f, nil
}

func (f *Federation) run(ctx context.Context, s Site, r reserved) error {
	path := f.Plan.ConfigPath(s.Name)
	c, err := config.Load(path)
	if err != nil {
		return err
	}
	sockets := node.Sockets{Peers: r.peers, API: r.api}
	if sockets.Admin, err = node.ListenAdmin(ctx, c.Admin.Socket); err != nil {
		return err
	}
	n, err := node.New(ctx, node.Options{
		Config: c, Sockets: sockets, Log: f.log.With("site", string(s.Name)), Now: time.Now,
		LoadConfig: func() (*config.Config, error) { return config.Load(path) },
	})
	if err != nil {
		return err
	}
	// Sites outlive the context of Start: they end with Stop or StopSite.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	site := &running{node: n, stop: stop, done: make(chan error, 1)}
	go func() { site.done <- n.Run(life) }()
	f.sites[s.Name] = site
	return nil
}

// wait returns once every site is connected to every other and believes a key of
// every issuer.
func (f *Federation) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := ""
		for name, site := range f.sites {
			if what := site.node.Settled(); what != "" {
				waiting = fmt.Sprintf("%s: %s", name, what)
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the sites did not find each other: %s: %w", waiting, ctx.Err())
		case <-tick.C:
		}
	}
}

// Site gives a site of the running federation.
func (f *Federation) Site(name trust.SiteName) Site {
	for _, s := range f.Plan.Sites {
		if s.Name == name {
			return s
		}
	}
	return Site{}
}

// StopSite stops one site, orderly, and waits for it.
func (f *Federation) StopSite(name trust.SiteName) error {
	site, ok := f.sites[name]
	if !ok {
		return nil
	}
	delete(f.sites, name)
	site.stop()
	return <-site.done
}

// Stop stops everything.
func (f *Federation) Stop() error {
	var group errgroup.Group
	for name, site := range f.sites {
		site.stop()
		group.Go(func() error { return <-site.done })
		delete(f.sites, name)
	}
	err := group.Wait()
	if f.web != nil {
		err = errors.Join(err, f.web.Close())
	}
	return err
}

// Client asks a site as a researcher would, over its public address.
func (f *Federation) Client(name trust.SiteName) api.Client {
	return api.Client{BaseURL: f.Site(name).URL, HTTP: &http.Client{}}
}

// DemoSites are the three hospitals of the demo. With a data directory their VCFs
// are taken from it, by name.
func DemoSites(data string) ([]Site, error) {
	sites := []Site{
		{Name: "uhn", DisplayName: "University Health Network", Seed: 1, Individuals: 1000},
		{Name: "bcgsc", DisplayName: "Genome Sciences Centre, BC Cancer", Seed: 2, Individuals: 800},
		{Name: "chus", DisplayName: "CHU de Sherbrooke", Seed: 3, Individuals: 704},
	}
	if data == "" {
		return sites, nil
	}
	for i := range sites {
		sites[i].VCF = filepath.Join(data, string(sites[i].Name)+".vcf.gz")
		if _, err := os.Stat(sites[i].VCF); err != nil {
			return nil, fmt.Errorf("--data: %w; the directory must hold uhn.vcf.gz, bcgsc.vcf.gz and chus.vcf.gz", err)
		}
	}
	return sites, nil
}
