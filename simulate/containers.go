package simulate

import "time"

// ContainerIssuerURL is where the pretend issuers stand in simulate/compose.yaml.
const ContainerIssuerURL = "https://issuer:8443"

// ContainerPlan is the federation of simulate/compose.yaml: each site is a
// container that is reached by its name.
func ContainerPlan(dir string, sites []Site) Plan {
	plan := Plan{Dir: dir, IssuerURL: ContainerIssuerURL, IssuerPoll: 5 * time.Second, TLS: true}
	for _, s := range sites {
		s.Listen, s.Addr = "0.0.0.0:7946", string(s.Name)+":7946"
		s.API, s.URL = "0.0.0.0:8443", "https://"+string(s.Name)+":8443"
		plan.Sites = append(plan.Sites, s)
	}
	return plan
}
