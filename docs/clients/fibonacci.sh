#!/usr/bin/env bash
# Computes F(n) over HTTP: fibonacci.sh N KEY, with curl and jq.
set -euo pipefail
server=${SERVER_URL:-http://127.0.0.1:8081}

# The key is the id of the job: the same request again answers the same and queues nothing twice.
job=$(curl -fsS "$server/api/v1/jobs" -H "Authorization: Bearer $ABACI_WEB_TOKEN" -H "Idempotency-Key: $2" \
    -H 'Content-Type: application/json' -d "{\"n\": $1}" | jq -r '.jobs[0].href')
while read -r state; do
    echo "$state" >&2
    case $state in succeeded | failed | parked | cancelled) break ;; esac
done < <(curl -fsN "$server$job/events" -H "Authorization: Bearer $ABACI_WEB_TOKEN" | sed -un 's/^data: //p' | jq -r --unbuffered '.state // empty')
curl -fsS "$server$job" -H "Authorization: Bearer $ABACI_WEB_TOKEN" | jq -r '.result.value // error(.error.message)'
