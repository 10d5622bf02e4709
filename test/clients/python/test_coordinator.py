"""A client that somebody in another language would write: generated from proto/, and the documentation of gRPC."""

import base64
import json
import os
import unittest
import urllib.parse
import urllib.request

import grpc
from google.protobuf import descriptor_pb2, duration_pb2, struct_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from dstc.v1 import (
    payload_pb2,
    task_pb2,
    task_service_pb2,
    task_service_pb2_grpc,
    task_type_pb2,
    task_type_service_pb2,
    task_type_service_pb2_grpc,
    worker_pb2,
    worker_service_pb2_grpc,
)
from worker_stream import WorkerStream

TASK_TYPE = "python.square"


def fetch_token(client):
    """Client credentials, as RFC 6749 has them."""
    secret = os.environ[f"{client.upper()}_SECRET"]
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    request = urllib.request.Request(
        os.environ["DSTC_ISSUER"] + "/token",
        data=urllib.parse.urlencode({"grant_type": "client_credentials"}).encode(),
        headers={"authorization": f"Basic {basic}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["access_token"]


def payload(value):
    return payload_pb2.Payload(data=json.dumps(value).encode(), content_type="application/json")


class Coordinator(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.metadata = {
            client: (("authorization", f"Bearer {fetch_token(client)}"),)
            for client in ("producer", "worker", "operator")
        }
        cls.channel = grpc.insecure_channel(os.environ["DSTC_ADDRESS"])
        cls.tasks = task_service_pb2_grpc.TaskServiceStub(cls.channel)
        cls.types = task_type_service_pb2_grpc.TaskTypeServiceStub(cls.channel)
        cls.workers = worker_service_pb2_grpc.WorkerServiceStub(cls.channel)
        schema = struct_pb2.Struct()
        schema.update({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}})
        applied = cls.types.ApplyTaskType(
            task_type_service_pb2.ApplyTaskTypeRequest(
                task_type=task_type_pb2.TaskType(name=TASK_TYPE, input_schema=schema)
            ),
            metadata=cls.metadata["operator"],
            timeout=10,
        )
        assert applied.task_type.retry_policy.attempts_max == 5

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()

    def submit(self, n, **more):
        return self.tasks.SubmitTask(
            task_service_pb2.SubmitTaskRequest(type=TASK_TYPE, input=payload({"n": n}), **more),
            metadata=self.metadata["producer"],
            timeout=10,
        )

    def await_task(self, task_id):
        return self.tasks.AwaitTask(
            task_service_pb2.AwaitTaskRequest(id=task_id, timeout=duration_pb2.Duration(seconds=10)),
            metadata=self.metadata["producer"],
            timeout=20,
        )

    def refused(self, call):
        """The code and the ErrorInfo and BadRequest of a call that must fail."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        status = rpc_status.from_call(caught.exception)
        infos, fields = [], []
        for detail in status.details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                infos.append(info)
            elif detail.Unpack(bad):
                fields += [violation.field for violation in bad.field_violations]
        self.assertEqual([info.domain for info in infos], ["dstc"])
        return caught.exception.code(), infos[0], fields

    def test_a_worker_stream_from_hello_to_settled(self):
        submitted = [self.submit(n).task.id for n in range(6)]
        stream = WorkerStream(
            self.workers,
            self.metadata["worker"],
            worker_pb2.Hello(
                task_types=[worker_pb2.TaskTypeSlots(task_type=TASK_TYPE, slots=6)],
                slots=6,
                labels={"host": "python"},
                sdk=worker_pb2.SdkInfo(name="by-hand", version="1"),
            ),
        )
        welcome = stream.next("welcome")
        self.assertTrue(welcome.session_id and welcome.resume_secret)
        self.assertGreater(welcome.lease_duration.ToMilliseconds(), welcome.heartbeat_interval.ToMilliseconds())

        held = []
        while len(held) < 6:
            assignments = stream.next("assignments").items
            stream.send(accepted=worker_pb2.Accepted(leases=[item.lease for item in assignments]))
            held += assignments
        self.assertEqual(sorted(item.lease.task_id for item in held), sorted(submitted))
        inputs = {item.lease.task_id: json.loads(item.input.data)["n"] for item in held}
        good = [item for item in held if inputs[item.lease.task_id] != 3]
        bad = next(item for item in held if inputs[item.lease.task_id] == 3)
        stream.send(
            progress=worker_pb2.Progress(
                items=[
                    worker_pb2.Progress.Item(
                        lease=bad.lease, progress=task_pb2.TaskProgress(percent=50, message="half")
                    )
                ]
            )
        )
        stream.send(
            succeeded=worker_pb2.Succeeded(
                items=[
                    worker_pb2.Succeeded.Item(lease=item.lease, output=payload(inputs[item.lease.task_id] ** 2))
                    for item in good
                ]
            )
        )
        error = task_pb2.TaskError(code="UNLUCKY", message="no threes", kind=task_pb2.FAILURE_KIND_PERMANENT)
        stream.send(failed=worker_pb2.Failed(items=[worker_pb2.Failed.Item(lease=bad.lease, error=error)]))
        settled = []
        while len(settled) < 6:
            settled += stream.next("settled").items
        self.assertEqual({item.outcome for item in settled}, {worker_pb2.SETTLEMENT_OUTCOME_RECORDED})
        stream.send(draining=worker_pb2.Draining())
        stream.close()

        for n, task_id in enumerate(submitted):
            answer = self.await_task(task_id)
            self.assertTrue(answer.finished)
            if n == 3:
                self.assertEqual(answer.task.state, task_pb2.TASK_STATE_FAILED)
                self.assertEqual(answer.task.error.code, "UNLUCKY")
            else:
                self.assertEqual(answer.task.state, task_pb2.TASK_STATE_SUCCEEDED)
                self.assertEqual(json.loads(answer.task.output.data), n * n)

        history = self.tasks.ListTaskEvents(
            task_service_pb2.ListTaskEventsRequest(task_id=submitted[3]),
            metadata=self.metadata["producer"],
            timeout=10,
        )
        self.assertEqual(
            [task_pb2.TaskEventKind.Name(event.kind) for event in history.events],
            [f"TASK_EVENT_KIND_{kind}" for kind in ("SUBMITTED", "LEASED", "STARTED", "FAILED")],
        )

    def test_watching_and_cancelling(self):
        task_id = self.submit(1, delay=duration_pb2.Duration(seconds=600)).task.id
        watch = self.tasks.WatchTasks(
            task_service_pb2.WatchTasksRequest(ids=[task_id]), metadata=self.metadata["producer"], timeout=20
        )
        self.assertEqual(next(watch).task.state, task_pb2.TASK_STATE_PENDING)
        self.tasks.CancelTask(
            task_service_pb2.CancelTaskRequest(id=task_id, reason="no need"),
            metadata=self.metadata["producer"],
            timeout=10,
        )
        self.assertEqual([answer.task.state for answer in watch], [task_pb2.TASK_STATE_CANCELLED])

    def test_the_same_key_is_the_same_task(self):
        later = duration_pb2.Duration(seconds=600)
        first = self.submit(1, idempotency_key="python", delay=later)
        again = self.submit(1, idempotency_key="python", delay=later)
        self.assertEqual((again.task.id, again.already_existed), (first.task.id, True))
        code, info, _ = self.refused(lambda: self.submit(2, idempotency_key="python", delay=later))
        self.assertEqual((code, info.reason), (grpc.StatusCode.ALREADY_EXISTS, "IDEMPOTENCY_CONFLICT"))

    def test_typed_errors(self):
        code, info, fields = self.refused(lambda: self.submit("one"))
        self.assertEqual((code, info.reason), (grpc.StatusCode.INVALID_ARGUMENT, "INPUT_INVALID"))
        self.assertEqual((dict(info.metadata), fields), ({"task_type": TASK_TYPE}, ["input/n"]))
        code, info, fields = self.refused(lambda: self.submit(1, labels={"a b": "c"}))
        self.assertEqual((code, info.reason), (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"))
        self.assertEqual(fields, ['labels["a b"]'])
        code, info, _ = self.refused(lambda: self.submit(1, idempotency_key="x" * (4 << 20)))
        self.assertEqual(info.reason, "FIELD_INVALID")

    def test_no_token_and_too_few_rights(self):
        request = task_service_pb2.GetTaskRequest(id="01890a5d-ac96-774b-bcce-b302099a8057")
        code, info, _ = self.refused(lambda: self.tasks.GetTask(request, timeout=10))
        self.assertEqual((code, info.reason), (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING"))
        apply = task_type_service_pb2.ApplyTaskTypeRequest(task_type=task_type_pb2.TaskType(name="mine"))
        code, info, _ = self.refused(
            lambda: self.types.ApplyTaskType(apply, metadata=self.metadata["producer"], timeout=10)
        )
        self.assertEqual((code, info.reason), (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING"))

    def test_health(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", "dstc.v1.TaskService", "dstc.v1.WorkerService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)

    def test_reflection(self):
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)

        def ask(**request):
            requests = iter([reflection_pb2.ServerReflectionRequest(**request)])
            return next(stub.ServerReflectionInfo(requests, timeout=10))

        services = {service.name for service in ask(list_services="").list_services_response.service}
        self.assertLessEqual({f"dstc.v1.{name}Service" for name in ("Task", "TaskType", "Worker")}, services)
        answer = ask(file_containing_symbol="dstc.v1.TaskService.SubmitTask").file_descriptor_response
        files = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in answer.file_descriptor_proto]
        self.assertIn("dstc/v1/task_service.proto", [file.name for file in files])


if __name__ == "__main__":
    unittest.main()
