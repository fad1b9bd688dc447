#!/bin/sh
# Puts a batch straight on the queue, waits to be told of its end, and prints the results: a JSON document per user.

usage() {
  cat >&2 <<'TEXT'
usage: sh publish.sh USER_ID...
       sh publish.sh - < FILE      (one user id to a line)

Needs redis-cli or valkey-cli, and curl.

BROKER_URL        the broker, a Redis (redis://127.0.0.1:6379/1); whoever may list this machine's processes can read it
ML_SERVICE_URL    the service (http://127.0.0.1:8000)
ML_SERVICE_TOKEN  a token or an API key for it (none)
LIMIT             titles per user (10)
JOB_ID            the job's id, a UUID (a new one); published again with the same id, it is the same job
APPEARS_SECONDS   longest wait for a worker to take the message (60)
TEXT
  exit 2
}

: "${BROKER_URL:=redis://127.0.0.1:6379/1}" "${ML_SERVICE_URL:=http://127.0.0.1:8000}" "${LIMIT:=10}"
: "${APPEARS_SECONDS:=60}"
SERVICE=${ML_SERVICE_URL%/}
JOB_SECONDS=600 # longest wait for a job to end
CLIENT=$(command -v redis-cli || command -v valkey-cli)
TIMEOUT=$(command -v timeout && echo 10) # s for one command to the broker; a system without timeout(1) has no bound

fail() {
  echo "error: $*" >&2
  exit 1
}

new_id() { # a UUID in small letters
  { uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid; } | tr '[:upper:]' '[:lower:]'
}

# region: publish
# redis WORD...: one command to the broker; -x takes its last word from standard input
redis() {
  # shellcheck disable=SC2086 # TIMEOUT is two words, or none
  $TIMEOUT "$CLIENT" --no-auth-warning -u "$BROKER_URL" "$@"
}

# publish < USERS: any number of users, up to 100,000, one to a line; their job is JOB_ID, its end is told to REPLY_TO
publish() {
  users=$(escape | sed 's/.*/"&"/' | paste -s -d , -)
  job=$(printf %s "$JOB_ID" | escape)
  arguments="{\"job_id\":\"$job\",\"user_ids\":[$users],\"limit\":$LIMIT,\"reply_to\":\"$REPLY_TO\"}"
  nothing='{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'
  task_id=$(new_id)
  said=$(redis -x LPUSH recommendations 2>&1 <<MESSAGE
{"body":"$(printf '[[],%s,%s]' "$arguments" "$nothing" | escape)",
 "content-type":"application/json","content-encoding":"utf-8",
 "headers":{"lang":"sh","task":"recommendations.batch.v1","id":"$task_id","root_id":"$task_id"},
 "properties":{"correlation_id":"$task_id","delivery_tag":"$(new_id)","delivery_mode":2,
               "delivery_info":{"exchange":"","routing_key":"recommendations"}}}
MESSAGE
  )
  case $said in
    '' | *[!0-9]*) fail "the broker did not take the message: $said" ;; # it answers with the length of the queue
  esac
}

escape() { # as it may stand in a JSON string
  sed 's/[\\"]/\\&/g'
}
# end

# region: follow
# ask PATH WORD...: a GET. The token goes in by standard input: whoever lists processes cannot read it there.
ask() {
  path=$1
  shift
  printf '%s' "${ML_SERVICE_TOKEN:+Authorization: Bearer $ML_SERVICE_TOKEN}" |
    curl --silent --show-error --header @- "$@" "$SERVICE$path"
}

# follow: listen for the announcement and ask for the job until it has ended. An announcement says that it is worth
# asking: should it get lost, or come twice, nothing is wrong.
follow() {
  started=$(date +%s)
  listen 5
  while waited=$(($(date +%s) - started)) && [ "$waited" -lt "$JOB_SECONDS" ]; do
    answer=$(ask "/api/jobs/$JOB_ID" --max-time 30 --write-out '\n%{http_code}') ||
      fail "no answer from $SERVICE"
    status=${answer##*
}
    job=${answer%
*}
    case $status in
      200) ;;
      404)
        [ "$waited" -le "$APPEARS_SECONDS" ] ||
          fail "not taken within $APPEARS_SECONDS s; publish again with JOB_ID=$JOB_ID, which is safe"
        ;;
      429 | 503) ;;
      401) fail "$job; set ML_SERVICE_TOKEN" ;;
      *) fail "$job" ;;
    esac
    state=$(printf '%s\n' "$job" | sed -n 's/.*"state":"\([a-z_]*\)".*/\1/p')
    case $state in
      '' | accepted | running) listen 2 ;;
      *) return ;;
    esac
  done
  fail "job $JOB_ID has not ended within $JOB_SECONDS s; it goes on, ask again later"
}

# listen SECONDS: wait for an announcement, no longer than that
listen() {
  announcement=$(redis BRPOP "$REPLY_TO" "$1" 2>&1)
  case $announcement in
    *'"type":"job.'*) printf '%s\n' "$announcement" | sed -n 's/.*"type":"\(job\.[a-z_]*\)".*/announced: \1/p' >&2 ;;
    '') ;;
    *) fail "the reply queue cannot be read: $announcement" ;;
  esac
}
# end

[ -n "$CLIENT" ] || fail 'redis-cli or valkey-cli is needed'
case $BROKER_URL in redis://* | rediss://*) ;; *) fail 'BROKER_URL must start with redis:// or rediss://' ;; esac
case $1 in
  -) [ $# -eq 1 ] && users=$(cat) ;;
  -* | '') users= ;;
  *) users=$(printf '%s\n' "$@") ;;
esac
[ -n "$users" ] || usage
JOB_ID=${JOB_ID:-$(new_id)}
REPLY_TO=recommendations.reply.$(printf %s "$JOB_ID" | tr '[:upper:]' '[:lower:]')
printf '%s\n' "$users" | publish || exit 1
echo "job $JOB_ID, published" >&2
follow
echo "$state" >&2
case $state in completed*) ;; *) fail "$job" ;; esac
ask "/api/jobs/$JOB_ID/results" --fail --max-time 600 --header 'Accept: application/x-ndjson' ||
  fail 'the results broke off'
[ "$state" = completed ] || fail "$job"
