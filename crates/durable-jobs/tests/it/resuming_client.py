"""Cancels, resumes and forks a job with a DBOS client library whose schema is newer than ours."""

import os

from dbos import DBOSClient
from dbos._serialization import WorkflowSerializationFormat

client = DBOSClient(system_database_url=os.environ["ABACI_DATABASE_URL"])
options = {
    "queue_name": "default",
    "workflow_name": "test_echoes",
    "app_version": "test-1",
    "workflow_id": "resumed",
    "serialization_type": WorkflowSerializationFormat.PORTABLE,
}
client.enqueue(options, 30)
client.cancel_workflow("resumed")
client.resume_workflow("resumed")
forked = client.fork_workflow("resumed", 1, application_version="test-1")
for handle in client.retrieve_workflow("resumed"), forked:
    print("echo of", handle.get_result()["number"])
client.destroy()
