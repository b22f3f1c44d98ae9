package web

// pageTexts are the pages for people, in English and in French. They have no script
// and no style, so that nothing needs to be allowed.
const pageTexts = `
{{define "head"}}<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.}}</title></head>
<body>
{{end}}
{{define "foot"}}</body>
</html>
{{end}}
{{define "login"}}{{template "head" "Sign in / Connexion"}}<h1>Sign in / <span lang="fr">Connexion</span></h1>
{{if .}}<p>Choose who signs you in. <span lang="fr">Choisissez votre fournisseur d’identité.</span></p>
<ul>
{{range .}}<li><a href="{{.Address}}">{{.Issuer}}</a></li>
{{end}}</ul>
{{else}}<p>Nobody signs people in here yet. <span lang="fr">Aucun fournisseur d’identité n’est encore configuré.</span></p>
{{end}}{{template "foot"}}{{end}}
{{define "done"}}{{template "head" "Signed in / Connecté"}}<h1>You are signed in / <span lang="fr">Vous êtes connecté</span></h1>
<p>{{.Session.Subject}} ({{.Session.Issuer}})</p>
{{if .Back}}<p><a href="{{.Back}}">Go on to {{.Back}} / <span lang="fr">Continuer vers {{.Back}}</span></a></p>
{{end}}<form method="post" action="/logout"><button type="submit">Sign out / <span lang="fr">Se déconnecter</span></button></form>
{{template "foot"}}{{end}}
{{define "failed"}}{{template "head" "That did not work / Échec"}}<h1>That did not work / <span lang="fr">Cela n’a pas fonctionné</span></h1>
<p>{{.Detail}}</p>
<p>Transaction: {{.Transaction}}</p>
{{if .SignIn}}<p><a href="/login">Sign in / <span lang="fr">Se connecter</span></a></p>
{{end}}{{template "foot"}}{{end}}
`
