"""Cancels, resumes and forks a job with a DBOS client library whose schema is newer than ours."""

import os

from dbos import DBOSClient
from dbos._serialization import WorkflowSerializationFormat

client = DBOSClient(system_database_url=os.environ["ABACI_DATABASE_URL"])
options = {
    "queue_name": "fibonacci",
    "workflow_name": "fibonacci_workflow",
    "app_version": "abaci-1",
    "workflow_id": "resumed",
    "serialization_type": WorkflowSerializationFormat.PORTABLE,
}
client.enqueue(options, 30)
client.cancel_workflow("resumed")
client.resume_workflow("resumed")
forked = client.fork_workflow("resumed", 1, application_version="abaci-1")
for handle in client.retrieve_workflow("resumed"), forked:
    result = handle.get_result()
    print(f"F({result['n']}) = {result['value']}")
client.destroy()
