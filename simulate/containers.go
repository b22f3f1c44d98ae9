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

// ContainerSites are the sites of simulate/compose.yaml: the three of the demo, two
// more, and one that joins them later.
func ContainerSites(data string) ([]Site, error) {
	sites, err := DemoSites(data)
	if err != nil {
		return nil, err
	}
	return append(sites,
		Site{Name: "mcgill", DisplayName: "McGill University", Seed: 4, Individuals: 400},
		Site{Name: "sickkids", DisplayName: "The Hospital for Sick Children", Seed: 5, Individuals: 500},
		Site{Name: "dal", DisplayName: "Dalhousie University", Seed: 6, Individuals: 300, Newcomer: true},
	), nil
}
