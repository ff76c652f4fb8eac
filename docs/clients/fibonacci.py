"""Computes F(n) over HTTP: python3 fibonacci.py N KEY, with nothing but the standard library."""
import json, os, sys
from urllib.request import Request, urlopen

server = os.environ.get("SERVER_URL", "http://127.0.0.1:8081")
# The key is the id of the job: the same request again answers the same and queues nothing twice.
headers = {"Authorization": f"Bearer {os.environ['ABACI_WEB_TOKEN']}", "Idempotency-Key": sys.argv[2], "Content-Type": "application/json"}
request = Request(f"{server}/api/v1/jobs", json.dumps({"n": int(sys.argv[1])}).encode(), headers)
job = server + json.load(urlopen(request))["jobs"][0]["href"]
for line in urlopen(Request(f"{job}/events", headers=headers)):
    state = json.loads(line[6:]).get("state") if line.startswith(b"data: ") else None
    if state:
        print(state, file=sys.stderr)
    if state in ("succeeded", "failed", "parked", "cancelled"):
        break
ended = json.load(urlopen(Request(job, headers=headers)))
if ended["state"] != "succeeded":
    sys.exit(ended.get("error", {}).get("message", ended["state"]))
# The result itself leaves out a value of over 10,000 digits.
print(urlopen(Request(f"{job}/value", headers=headers)).read().decode())
