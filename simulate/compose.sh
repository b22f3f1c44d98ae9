#!/usr/bin/env bash
# Runs five sites and their issuers in containers, has a sixth join them, and plays what
# happens to a federation in its years: sites that stop, are cut off, are killed, are
# restored from an old backup, and are thrown out; an issuer that rotates and
# withdraws its key; most witnesses gone. It asks the same question each time and checks
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

five=(uhn bcgsc chus mcgill sickkids)
members=("${five[@]}") # who should see whom, at this point of the story

inside() { "${compose[@]}" exec -T "$1" /candignode "${@:2}"; }
site() { inside "$1" "${@:2}" --config /site/candignode.yaml; } # an operator's command at a site
container() { "${compose[@]}" ps -q "$1"; }
network="${COMPOSE_PROJECT_NAME}_federation"

# settled: every member sees every other, and believes a key of every issuer.
settled() {
  local name others=$((${#members[@]} - 1))
  for name in "${members[@]}"; do
    [ "$(site "$name" sites list --json 2>/dev/null | grep -c '"connected": true')" = "$others" ] || return 1
    site "$name" issuers list --json 2>/dev/null | grep -q '"keys_believed": 0' && return 1
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
# ask: the question at uhn, with a passport; prints site=status words and the exit code.
ask() {
  local code=0 answer
  answer=$("$candignode" simulate mint --dir "$CANDIGNODE_SIMULATE_DIR/issuer" "$@" |
    inside uhn query g_variants --url https://uhn:8443 --ca /site/issuers-ca.pem --passport - --json \
      $question 2>/dev/null) || code=$?
  printf '%s\n' "$answer" | awk -F'"' '/"site":/ {site=$4} /"status":/ {print site "=" $4}' | tr '\n' ' '
  printf '%s\n' "$answer" | awk -F'[:,]' '/^  "count":/ {gsub(/ /,"",$2); print "count=" $2}' | tr '\n' ' '
  printf 'exit=%s\n' "$code"
}
holds() { # expected words, actual words
  local word
  for word in $1; do
    case " $2 " in *" $word "*) ;; *) return 1 ;; esac
  done
}
expect() { # what, expected words, actual
  checks=$((checks + 1))
  holds "$2" "$3" || fail "$1: expected $2, got: $3"
  say "ok: $1: $3"
}
asked() { # what, expected, then ask's arguments
  local what=$1 expected=$2
  shift 2
  expect "$what" "$expected" "$(ask "$@")"
}
# soon: the same, but what is expected may take a while to come.
soon() { # seconds, what, expected, then ask's arguments
  local deadline=$((SECONDS + $1)) what=$2 expected=$3 got
  shift 3
  until got=$(ask "$@") && holds "$expected" "$got"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what: expected $expected, got: $got"
    sleep 0.5
  done
  expect "$what" "$expected" "$got"
}
all_ok() { printf '%s=ok ' "${members[@]}"; printf 'exit=0'; }

say "Starting the containers ..."
"${compose[@]}" up -d issuer "${five[@]}" >/dev/null 2>&1
question=$("$candignode" simulate question)
wait_until 120 "the sites finding each other" settled

asked "all sites up" "$(all_ok)"
asked "a researcher without a grant" "uhn=denied bcgsc=denied chus=denied exit=3" --granted ""
asked "a grant at one site only" "uhn=denied bcgsc=ok chus=denied exit=4" --granted bcgsc
asked "a passport bound to another site" "exit=3" --for bcgsc

# The state of one site as it is now, for the restore at the end.
"${compose[@]}" stop chus >/dev/null 2>&1
cp "$CANDIGNODE_SIMULATE_DIR/chus/state.db" "$work/backup.db"
asked "one site stopped" "uhn=ok bcgsc=ok chus=unreachable exit=4"
"${compose[@]}" start chus >/dev/null 2>&1
wait_until 60 "the stopped site coming back" settled
asked "the stopped site is back" "$(all_ok)"

say "A sixth site joins ..."
"${compose[@]}" up -d dal >/dev/null 2>&1
wait_until 60 "the newcomer starting" site dal status --ready >/dev/null 2>&1
newcomer=$(site dal site show --json | awk -F'"' '/"site_id":/ {print $4}')
invite=$(site uhn invite create --site "$newcomer")
site dal join "$invite" --query >/dev/null # one command for the newcomer
pending() { site "$1" sites list --json | grep -q "\"$newcomer\""; }
for name in "${five[@]}"; do
  wait_until 60 "the newcomer being seen at $name" pending "$name"
  site "$name" sites approve dal --query >/dev/null # and one approval per member
done
members+=(dal)
wait_until 120 "the newcomer and the members finding each other" settled
asked "six sites answer" "$(all_ok)"

docker network disconnect "$network" "$(container bcgsc)"
cut=$(ask)
case " $cut " in
  *" bcgsc=timeout "* | *" bcgsc=unreachable "*) expect "one network cut" "uhn=ok chus=ok exit=4" "$cut" ;;
  *) fail "one network cut: $cut" ;;
esac
docker network connect --alias bcgsc "$network" "$(container bcgsc)"
wait_until 120 "the cut site coming back" settled
asked "the network healed" "$(all_ok)"

docker kill --signal KILL "$(container chus)" >/dev/null
asked "one node killed" "uhn=ok bcgsc=ok exit=4"
"${compose[@]}" start chus >/dev/null 2>&1
wait_until 60 "the killed node coming back" settled
asked "the killed node is back" "$(all_ok)"

"$candignode" simulate rotate --dir "$CANDIGNODE_SIMULATE_DIR/issuer" --issuer broker
soon 60 "the issuer's key rotated" "$(all_ok)"

say "Most witnesses are lost ..."
"${compose[@]}" stop chus mcgill sickkids dal >/dev/null 2>&1
asked "what is believed stays believed" "uhn=ok bcgsc=ok chus=unreachable exit=4"
"$candignode" simulate rotate --dir "$CANDIGNODE_SIMULATE_DIR/issuer" --issuer broker
sleep 12 # two polls: uhn and bcgsc see the new key, and one witness is not enough
asked "a new key that too few have seen" "exit=3"
"${compose[@]}" start chus mcgill sickkids dal >/dev/null 2>&1
wait_until 120 "the witnesses coming back" settled
soon 60 "the witnesses are back" "$(all_ok)"

"$candignode" simulate withdraw --dir "$CANDIGNODE_SIMULATE_DIR/issuer" --issuer broker
soon 60 "the issuer's key withdrawn" "exit=3"
"$candignode" simulate rotate --dir "$CANDIGNODE_SIMULATE_DIR/issuer" --issuer broker
soon 60 "the issuer has a key again" "$(all_ok)"

say "One site is restored from an old backup ..."
"${compose[@]}" stop chus >/dev/null 2>&1
rm -f "$CANDIGNODE_SIMULATE_DIR/chus/state.db"
cp "$work/backup.db" "$CANDIGNODE_SIMULATE_DIR/chus/state.db"
"${compose[@]}" start chus >/dev/null 2>&1
# The backup knows nothing of the newcomer; its operator says so again, as before.
wait_until 60 "the newcomer being seen at chus" pending chus
site chus sites approve dal --query >/dev/null
wait_until 120 "the restored site coming back" settled
soon 60 "the restored site answers" "$(all_ok)"
for name in "${members[@]}"; do
  expect "no fork seen at $name" "0" "$(site "$name" sites list --json | grep -c '"forked": true' || true)"
done

say "The sixth site is thrown out ..."
for name in "${five[@]}"; do
  site "$name" sites block dal >/dev/null
  site "$name" sites expel dal >/dev/null
done
members=("${five[@]}")
gone() { ! ask | grep -q "dal="; }
wait_until 30 "the blocked site leaving the answers" gone
asked "five sites answer" "$(all_ok)"
expect "the blocked site is connected to nobody" "0" "$(site dal sites list --json | grep -c '"connected": true' || true)"

for name in "${members[@]}"; do
  expect "audit log of $name" "ok:" "$(site "$name" audit verify)"
done
say "$checks passed, 0 failed"
if [ "${1:-}" = --keep ]; then
  keep=yes
  say "Left running. Stop with: CANDIGNODE_SIMULATE_DIR=$CANDIGNODE_SIMULATE_DIR COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME ${compose[*]} down"
fi
