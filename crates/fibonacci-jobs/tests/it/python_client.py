"""Enqueues and reads results with the DBOS client library of Python, portable serialisation."""

import os

from dbos import DBOSClient
from dbos._serialization import PortableWorkflowError, WorkflowSerializationFormat

client = DBOSClient(system_database_url=os.environ["ABACI_DATABASE_URL"])


def enqueue(workflow, *arguments, serialization=WorkflowSerializationFormat.PORTABLE):
    options = {
        "queue_name": "fibonacci",
        "workflow_name": workflow,
        "app_version": "abaci-1",
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


handles = [
    enqueue("fibonacci_workflow", 100),
    enqueue("fibonacci_workflow", 10, "iterative"),
]
for handle in handles:
    result = handle.get_result()
    print(f"F({result['n']}) = {result['value']} by {result['algorithm']}")
    print(f"F({result['n']}) = {result['value']}")

print(failure(enqueue("fibonacci_workflow", -1)))
pickle = enqueue("fibonacci_workflow", 10, serialization=None)
print(failure(pickle).split(";")[0])
print("nonsense is", enqueue("nonsense", 10).get_status().status)
client.destroy()
