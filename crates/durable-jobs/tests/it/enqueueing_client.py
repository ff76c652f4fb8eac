"""Enqueues jobs and reads results and errors with a DBOS client library whose schema is newer than ours."""

import os

from dbos import DBOSClient
from dbos._serialization import PortableWorkflowError, WorkflowSerializationFormat

client = DBOSClient(system_database_url=os.environ["ABACI_DATABASE_URL"])


def enqueue(workflow, *arguments, serialization=WorkflowSerializationFormat.PORTABLE):
    options = {
        "queue_name": "default",
        "workflow_name": workflow,
        "app_version": "test-1",
        "serialization_type": serialization,
    }
    return client.enqueue(options, *arguments)


def failure(handle):
    try:
        return f"no error but {handle.get_result()}"
    except PortableWorkflowError as error:
        return f"PortableWorkflowError {error.name}: {error.message}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


print("echo of", enqueue("test_echoes", 100).get_result()["number"])
print(failure(enqueue("test_echoes", 2_000_000)))
pickle = enqueue("test_echoes", 10, serialization=None)
print(failure(pickle).split(";")[0])
print("nonsense is", enqueue("nonsense", 10).get_status().status)
client.destroy()
