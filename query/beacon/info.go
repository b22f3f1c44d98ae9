package beacon

import "github.com/candignode/candignode/query"

// schemasAt is where Beacon's own schemas stand; documents refer to them, nobody
// here fetches them.
const schemasAt = "https://raw.githubusercontent.com/ga4gh-beacon/beacon-v2/main/"

const (
	entryVariant = "genomicVariant"
	entryDataset = "dataset"
)

type infoMeta struct {
	BeaconID   string      `json:"beaconId"`
	APIVersion string      `json:"apiVersion"`
	Schemas    []SchemaRef `json:"returnedSchemas"`
}

type informational struct {
	Meta     infoMeta `json:"meta"`
	Response any      `json:"response"`
}

func (a About) inform(entity, schema string, response any) Document {
	return informational{
		Meta:     infoMeta{a.ID(), APIVersion, []SchemaRef{{EntityType: entity, Schema: schema}}},
		Response: response,
	}
}

// Info is the document of / and /info.
func Info(a About) Document {
	type organization struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		WelcomeURL string `json:"welcomeUrl,omitempty"`
	}
	type holdings struct {
		Assemblies []query.Assembly `json:"assemblies,omitempty"`
	}
	return a.inform("info", "beacon-info-"+APIVersion, struct {
		ID           string       `json:"id"`
		Name         string       `json:"name"`
		APIVersion   string       `json:"apiVersion"`
		Environment  string       `json:"environment"`
		Organization organization `json:"organization"`
		Version      string       `json:"version,omitempty"`
		WelcomeURL   string       `json:"welcomeUrl,omitempty"`
		Updated      string       `json:"updateDateTime,omitempty"`
		Info         holdings     `json:"info"`
	}{
		ID: a.ID(), Name: a.name(), APIVersion: APIVersion, Environment: a.environment(),
		Organization: organization{string(a.Site), first(a.Organization, a.Name, string(a.Site)), a.OrganizationURL},
		Version:      a.Version, WelcomeURL: a.root(), Updated: a.updated(),
		Info: holdings{a.Assemblies},
	})
}

// ServiceInfo is the document of a Beacon root's /service-info (GA4GH
// service-info 1.0.0).
func ServiceInfo(a About) Document {
	return a.service(a.ID(), "org.ga4gh", "beacon", "2.1.1")
}

// NodeServiceInfo is the document of the node's own /service-info. Its API is not
// one of GA4GH's, so it stands under a group of its own (passports.md, row 140).
func NodeServiceInfo(a About) Document {
	return a.service(string(a.Site)+".node", "com.github.candignode", "candignode", "1.0.0")
}

func (a About) service(id, group, artifact, version string) Document {
	type kind struct {
		Group    string `json:"group"`
		Artifact string `json:"artifact"`
		Version  string `json:"version"`
	}
	type organization struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	return struct {
		ID           string       `json:"id"`
		Name         string       `json:"name"`
		Type         kind         `json:"type"`
		Organization organization `json:"organization"`
		Environment  string       `json:"environment"`
		Version      string       `json:"version"`
		Updated      string       `json:"updatedAt,omitempty"`
	}{
		ID: id, Name: a.name(), Type: kind{group, artifact, version},
		Organization: organization{first(a.Organization, a.Name, string(a.Site)), first(a.OrganizationURL, a.URL)},
		Environment:  a.environment(), Version: first(a.Version, "unknown"), Updated: a.updated(),
	}
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type schemaLink struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Link    string `json:"referenceToSchemaDefinition"`
	Version string `json:"schemaVersion"`
}

type term struct {
	ID    string `json:"id"`
	Label string `json:"label"`
}

type entryType struct {
	ID            string     `json:"id"`
	Name          string     `json:"name"`
	Description   string     `json:"description"`
	Specification string     `json:"partOfSpecification"`
	Ontology      term       `json:"ontologyTermForThisType"`
	Default       schemaLink `json:"defaultSchema"`
	CollectionOf  []named    `json:"aCollectionOf,omitempty"`
	Unfiltered    bool       `json:"nonFilteredQueriesAllowed"`
}

func variantSchema() SchemaRef {
	return SchemaRef{EntityType: entryVariant, Schema: "ga4gh-beacon-variant-v2.0.0"}
}

// entryTypes are the variants that are asked for, and the datasets that answers
// are grouped by. A question must name a variant.
func entryTypes() map[string]entryType {
	model := schemasAt + "models/json/beacon-v2-default-model/"
	return map[string]entryType{
		entryVariant: {
			ID: entryVariant, Name: "Genomic Variants", Specification: "Beacon v2.1.1",
			Description: "Sequence variants, asked by position. Answers tell whether, and how many, individuals carry them.",
			Ontology:    term{"ENSGLOSSARY:0000092", "Variant"},
			Default: schemaLink{variantSchema().Schema, "Default schema for a genomic variation",
				model + "genomicVariations/defaultSchema.json", "v2.0.0"},
		},
		entryDataset: {
			ID: entryDataset, Name: "Dataset", Specification: "Beacon v2.1.1",
			Description: "The individuals of one study or project, under one rule of access. Results are grouped by it.",
			Ontology:    term{"NCIT:C47824", "Data set"},
			Default: schemaLink{"ga4gh-beacon-dataset-v2.0.0", "Default schema for datasets",
				model + "datasets/defaultSchema.json", "v2.0.0"},
			CollectionOf: []named{{entryVariant, "Genomic Variants"}},
		},
	}
}

// EntryTypes is the document of /entry_types.
func EntryTypes(a About) Document {
	return a.inform("entryType", "beacon-entry-types-"+APIVersion, map[string]any{"entryTypes": entryTypes()})
}

// Configuration is the document of /configuration. Without a caller who is
// allowed more, nobody is told more than yes or no.
func Configuration(a About) Document {
	type maturity struct {
		Status string `json:"productionStatus"`
	}
	type security struct {
		Granularity query.Granularity `json:"defaultGranularity"`
		Levels      []string          `json:"securityLevels"`
	}
	return a.inform("configuration", "beacon-configuration-"+APIVersion, struct {
		Schema   string               `json:"$schema"`
		Maturity maturity             `json:"maturityAttributes"`
		Security security             `json:"securityAttributes"`
		Entries  map[string]entryType `json:"entryTypes"`
	}{
		schemasAt + "framework/json/configuration/beaconConfigurationSchema.json",
		maturity{a.maturity()}, security{query.Boolean, a.levels()}, entryTypes(),
	})
}

// Map is the document of /map: the endpoints that exist.
func Map(a About) Document {
	type endpoints struct {
		EntryType string `json:"entryType"`
		Root      string `json:"rootUrl"`
	}
	return a.inform("map", "beacon-map-"+APIVersion, struct {
		Schema string               `json:"$schema"`
		Sets   map[string]endpoints `json:"endpointSets"`
	}{
		schemasAt + "framework/json/configuration/beaconMapSchema.json",
		map[string]endpoints{entryVariant: {entryVariant, a.root() + "/" + string(query.GVariants)}},
	})
}

// FilteringTerms is the document of /filtering_terms. No terms are loaded, and
// a question with filters is refused.
func FilteringTerms(a About) Document {
	return a.inform("filteringTerm", "beacon-filtering-terms-"+APIVersion, struct {
		Terms     []term `json:"filteringTerms"`
		Resources []term `json:"resources"`
	}{[]term{}, []term{}})
}
