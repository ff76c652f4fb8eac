#!/usr/bin/env bash
# Computes F(n) over HTTP: fibonacci.sh N KEY, with curl and jq.
set -euo pipefail
server=${SERVER_URL:-http://127.0.0.1:8081}
ask() { curl -fsS -H "Authorization: Bearer $ABACI_WEB_TOKEN" "$@"; }

# The key is the id of the job: the same request again answers the same and queues nothing twice.
job=$(ask "$server/api/v1/jobs" -H "Idempotency-Key: $2" -H 'Content-Type: application/json' -d "{\"n\": $1}" | jq -r '.jobs[0].href')
while read -r state; do
    echo "$state" >&2
    case $state in succeeded | failed | parked | cancelled) break ;; esac
done < <(ask -N "$server$job/events" 2>/dev/null | sed -un 's/^data: //p' | jq -r --unbuffered '.state // empty')
if [ "$state" != succeeded ]; then
    ask "$server$job" | jq -r '.error.message // .state' >&2
    exit 1
fi
# The result itself leaves out a value of over 10,000 digits.
ask "$server$job/value" && echo
