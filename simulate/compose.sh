#!/usr/bin/env bash
# Runs three sites and their issuers in containers, asks one question, stops a site,
# cuts a site's network, rotates a key, kills a node, asks again each time, and checks
# every answer.
#
#   simulate/compose.sh          run it and clean up
#   simulate/compose.sh --keep   leave everything running and say how to ask
#
# Needs Go and a Docker engine with Compose (plugin or docker-compose). Pulls nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
work=$(mktemp -d "${TMPDIR:-/tmp}/candignode-compose-XXXXXX")
export CANDIGNODE_SIMULATE_DIR=$work/sites
export COMPOSE_PROJECT_NAME=candignode-simulate
compose+=(-f simulate/compose.yaml)

down() {
  status=$?
  if [ "$status" != 0 ]; then "${compose[@]}" logs --tail=40 2>/dev/null || true; fi
  if [ "${keep:-}" != yes ]; then
    "${compose[@]}" down --timeout 20 >/dev/null 2>&1 || true
    rm -rf "$work"
  fi
  exit "$status"
}
trap down EXIT

checks=0
say() { printf '%s\n' "$*"; }
fail() { say "FAILED: $*"; exit 1; }

say "Building the static binary and the image ..."
CGO_ENABLED=0 go build -trimpath -o "$work/image/candignode" ./cmd/candignode
docker build -q -f simulate/Dockerfile -t candignode:simulate "$work/image" >/dev/null
candignode="$work/image/candignode"
"$candignode" simulate write --dir "$CANDIGNODE_SIMULATE_DIR"

say "Starting the containers ..."
"${compose[@]}" up -d >/dev/null 2>&1

inside() { "${compose[@]}" exec -T "$1" /candignode "${@:2}"; }

# settled: every site sees its two peers and believes a key of every issuer.
settled() {
  for site in uhn bcgsc chus; do
    inside "$site" sites list --json --config /site/candignode.yaml 2>/dev/null | grep -c '"connected": true' | grep -qx 2 || return 1
    inside "$site" issuers list --json --config /site/candignode.yaml 2>/dev/null | grep -q '"keys_believed": 0' && return 1
  done
  return 0
}
wait_until() { # seconds, what, command...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what did not happen in time"
    sleep 0.5
  done
}
wait_until 60 "the sites finding each other" settled

# ask: the question at uhn, with a passport; prints site=status lines and the exit code.
ask() {
  local code=0 answer
  answer=$("$candignode" simulate mint --dir "$CANDIGNODE_SIMULATE_DIR/issuer" "$@" |
    inside uhn query g_variants --url https://uhn:8443 --ca /site/issuers-ca.pem --passport - --json \
      $question 2>/dev/null) || code=$?
  printf '%s\n' "$answer" | awk -F'"' '/"site":/ {site=$4} /"status":/ {print site "=" $4}' | tr '\n' ' '
  printf '%s\n' "$answer" | awk -F'[:,]' '/^  "count":/ {gsub(/ /,"",$2); print "count=" $2}' | tr '\n' ' '
  printf 'exit=%s\n' "$code"
}
expect() { # what, expected words, actual
  checks=$((checks + 1))
  for word in $2; do
    case " $3 " in *" $word "*) ;; *) fail "$1: expected $word, got: $3" ;; esac
  done
  say "ok: $1: $3"
}
asked() { # what, expected, then ask's arguments
  local what=$1 expected=$2
  shift 2
  expect "$what" "$expected" "$(ask "$@")"
}

question=$("$candignode" simulate question)

asked "all sites up" "uhn=ok bcgsc=ok chus=ok exit=0"
asked "a researcher without a grant" "uhn=denied bcgsc=denied chus=denied exit=3" --granted ""
asked "a grant at one site only" "uhn=denied bcgsc=ok chus=denied exit=4" --granted bcgsc
asked "a passport bound to another site" "exit=3" --for bcgsc

"${compose[@]}" stop chus >/dev/null 2>&1
asked "one site stopped" "uhn=ok bcgsc=ok chus=unreachable exit=4"
"${compose[@]}" start chus >/dev/null 2>&1
wait_until 60 "the stopped site coming back" settled
asked "the stopped site is back" "uhn=ok bcgsc=ok chus=ok exit=0"

container=$("${compose[@]}" ps -q bcgsc)
network="${COMPOSE_PROJECT_NAME}_federation"
docker network disconnect "$network" "$container"
cut=$(ask)
case " $cut " in
  *" bcgsc=timeout "* | *" bcgsc=unreachable "*) expect "one network cut" "uhn=ok chus=ok exit=4" "$cut" ;;
  *) fail "one network cut: $cut" ;;
esac
docker network connect --alias bcgsc "$network" "$container"
wait_until 90 "the cut site coming back" settled
asked "the network healed" "uhn=ok bcgsc=ok chus=ok exit=0"

docker kill --signal KILL "$("${compose[@]}" ps -q chus)" >/dev/null
asked "one node killed" "uhn=ok bcgsc=ok exit=4"
"${compose[@]}" start chus >/dev/null 2>&1
wait_until 60 "the killed node coming back" settled
asked "the killed node is back" "uhn=ok bcgsc=ok chus=ok exit=0"

"$candignode" simulate rotate --dir "$CANDIGNODE_SIMULATE_DIR/issuer" --issuer broker
sleep 12 # two polls: every site and its witnesses have seen the new key
asked "the issuer's key rotated" "uhn=ok bcgsc=ok chus=ok exit=0"
"$candignode" simulate withdraw --dir "$CANDIGNODE_SIMULATE_DIR/issuer" --issuer broker
sleep 12
asked "the issuer's key withdrawn" "exit=3"

for site in uhn bcgsc chus; do
  expect "audit log of $site" "ok:" "$(inside "$site" audit verify --config /site/candignode.yaml)"
done
say "$checks passed, 0 failed"
if [ "${1:-}" = --keep ]; then
  keep=yes
  say "Left running. Stop with: CANDIGNODE_SIMULATE_DIR=$CANDIGNODE_SIMULATE_DIR COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME ${compose[*]} down"
fi
