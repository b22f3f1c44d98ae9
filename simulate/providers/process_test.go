package providers

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Where the Debian packages put what is not found by a name.
const (
	portalTemplates = "/usr/share/lemonldap-ng/portal/templates"
	institutionCode = "/usr/share/simplesamlphp/www"
)

// startTime is how long a provider may take to listen: Perl compiles the whole
// portal, also on a busy machine.
const startTime = 45 * time.Second

// needLemon skips where LemonLDAP::NG cannot be started, and says why.
func needLemon(t *testing.T) {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("-short: real providers take seconds to start")
	case runtime.GOOS != "linux":
		t.Skip("the real providers are Debian packages; this is not Linux")
	}
	needCommand(t, "perl", "perl")
	needCommand(t, "plackup", "libplack-perl")
	needFile(t, portalTemplates, "liblemonldap-ng-portal-perl")
	for module, debian := range map[string]string{
		"Lemonldap::NG::Portal": "liblemonldap-ng-portal-perl", "Crypt::OpenSSL::X509": "libcrypt-openssl-x509-perl",
		"IO::String": "libio-string-perl", "String::Random": "libstring-random-perl",
	} {
		needModule(t, module, debian)
	}
}

// needInstitution skips where SimpleSAMLphp cannot be started as well.
func needInstitution(t *testing.T) {
	t.Helper()
	needFile(t, institutionCode, "simplesamlphp")
	needCommand(t, "php", "php-cli")
	needModule(t, "Lasso", "liblasso-perl")
}

func needFile(t *testing.T, path, debian string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, path, debian)
	}
}

func needCommand(t *testing.T, name, debian string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name, debian)
	}
}

func needModule(t *testing.T, name, debian string) {
	t.Helper()
	if err := exec.Command("perl", "-M"+name, "-e", "1").Run(); err != nil {
		missing(t, "the Perl module "+name, debian)
	}
}

func missing(t *testing.T, what, debian string) {
	t.Helper()
	t.Skipf("%s is not here: install the Debian package %s; .ci/run names them all", what, debian)
}

// program is a provider's process.
type program struct {
	t       *testing.T
	address string // host:port where it listens
	logFile string
	make    func() *exec.Cmd
	running *exec.Cmd // nil while stopped
}

// newProgram reserves a port and runs the command that with makes for it, until the
// test ends.
func newProgram(t *testing.T, name string, with func(host, port string) *exec.Cmd) *program {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, address: listener.Addr().String(), logFile: filepath.Join(t.TempDir(), name+".log")}
	listener.Close() // neither program takes over a socket
	host, port, _ := net.SplitHostPort(p.address)
	p.make = func() *exec.Cmd { return with(host, port) }
	t.Cleanup(func() {
		p.stop()
		if log, err := os.ReadFile(p.logFile); err == nil && t.Failed() {
			t.Logf("the last words of %s:\n%s", name, tail(log, 6000))
		}
	})
	p.start()
	return p
}

func tail(log []byte, most int) []byte { return log[max(0, len(log)-most):] }

// start runs the program and waits until it listens.
func (p *program) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	command := p.make()
	command.Stdout, command.Stderr = log, log
	// The test's own death, also by force, ends it: no provider is left behind.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the signal is bound to the thread that started it
	defer runtime.UnlockOSThread()
	if err := command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.running = command
	ctx, cancel := context.WithTimeout(p.t.Context(), startTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(p.logFile)
			p.t.Fatalf("%s does not listen after %v:\n%s", command.Path, startTime, tail(text, 4000))
		case <-tick.C:
		}
	}
}

// stop ends the process by its id, and waits for it.
func (p *program) stop() {
	if p.running == nil {
		return
	}
	p.running.Process.Kill()
	p.running.Wait()
	p.running = nil
}
