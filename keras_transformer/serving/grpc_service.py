"""The gRPC interface: TensorFlow Serving's PredictionService and ModelService, and health."""

import time
import uuid
from collections.abc import Sequence
from contextlib import asynccontextmanager

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health_pb2_grpc
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_transformer.errors import InputError
from keras_transformer.serving.access import bearer
from keras_transformer.serving.calls import Calls, options
from keras_transformer.serving.failures import REQUEST_ID, Failure, Kind, invalid
from keras_transformer.serving.health import Health
from keras_transformer.serving.listening import address
from keras_transformer.serving.peers import group_of_peer
from keras_transformer.serving.rest_json import metadata_message, status_message
from keras_transformer.serving.service import Inputs, Service
from keras_transformer.serving.signatures import Scalar, Signature, Tensor
from keras_transformer.serving.tls import Certificate


class GrpcServer:
    """Both services and health on one port, in the running event loop.

    Args:
        service: what answers.
        hosts: addresses to listen on, such as ``127.0.0.1``.
        port: on all of them; 0 takes a free one.
        certificate: for TLS.

    Raises:
        InputError: when the port cannot be had.
    """

    def __init__(
        self,
        service: Service,
        hosts: Sequence[str],
        port: int,
        certificate: Certificate | None = None,
    ):
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),  # else two servers share a port without noticing
                # Beyond it gRPC itself turns requests away, and cannot name our option.
                ("grpc.max_receive_message_length", 4 * service.settings.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                *options(service.settings),
            ],
            interceptors=[Calls(service.settings, service.metrics)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(service), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            _ModelService(service), self._server
        )
        names = ("", "tensorflow.serving.PredictionService")
        self._health = Health(names, service.settings.transfer_seconds)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.port = port
        for host in hosts:
            place = address(host, self.port)
            try:
                if certificate is None:
                    self.port = self._server.add_insecure_port(place)
                else:
                    credentials = certificate.grpc_credentials()
                    self.port = self._server.add_secure_port(place, credentials)
            except RuntimeError as error:
                raise InputError(
                    f"{place}: gRPC cannot listen there: give another --grpc-port."
                ) from error

    async def start(self) -> None:
        """Begins to answer; health says that it is not serving yet."""
        await self.set_serving(False)
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        """Sets what health answers."""
        self._health.set(serving)

    async def stop(self, seconds: float) -> None:
        """Takes no more calls, and gives running ones this many seconds to end."""
        await self._server.stop(seconds)


@asynccontextmanager
async def _observed(service: Service, path: str, context):
    """Counts and logs a call, and aborts it with gRPC's code where it fails.

    Yields:
        a dictionary; what is put into it is logged.
    """
    started = time.perf_counter()
    event: dict = {}
    code, failure, identity = "OK", None, _request_id(context)
    context.set_trailing_metadata((("x-request-id", identity),))
    try:
        yield event
    except Failure as error:
        failure = error
        code = failure.kind.grpc_code
        event["error"] = failure.message
        if failure.kind is not Kind.NOT_FOUND:
            service.metrics.rejected.labels(failure.kind.name.lower()).inc()
    except Exception as error:
        failure = Failure(Kind.INTERNAL, "the server failed; its log says why.")
        code = failure.kind.grpc_code
        event["error"] = f"{type(error).__name__}: {error}"
        service.log.error("request failed", id=identity, exc_info=error)
    except BaseException:  # the client has gone
        code = "CANCELLED"
        raise
    finally:
        seconds = time.perf_counter() - started
        service.metrics.observe_request("grpc", path, code, seconds)
        service.log.info(
            "request",
            id=identity,
            method="gRPC",
            url=path,
            status=code,
            milliseconds=round(seconds * 1000, 1),
            **event,
        )
    if failure is not None:
        await _abort(context, failure, identity)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: Service):
        self._service = service

    async def Predict(self, request, context):
        async with _observed(self._service, "predict", context) as event:
            return await self._predict(request, context, event)

    async def _predict(self, request, context, event: dict) -> predict_pb2.PredictResponse:
        service = self._service
        service.access.check(_key(context), group_of_peer(context.peer()))
        most = service.settings.max_body_bytes
        if request.ByteSize() > most:
            raise Failure(
                Kind.TOO_MANY_BYTES,
                f"the request has more than {most} bytes (--max-body-bytes): send less.",
            )
        left = context.time_remaining()
        deadline = service.deadline(None if left is None else max(left, 0.0))
        name, version = _wanted(request.model_spec, service)
        with service.accepted(), service.using(name, version) as model:
            signature = model.signature(request.model_spec.signature_name)
            wanted = set(request.output_filter)
            if unknown := wanted - signature.outputs.keys():
                names = ", ".join(signature.outputs)
                raise invalid(f"output_filter {sorted(unknown)}: the outputs are {names}.")
            inputs = _read_inputs(request.inputs, signature, service)
            event |= {
                "version": model.version,
                "signature": signature.name,
                "texts": len(inputs.texts),
            }
            outputs = await service.predict(model, signature, inputs, deadline)
            response = predict_pb2.PredictResponse()
            response.model_spec.name = name
            response.model_spec.version.value = model.version
            response.model_spec.signature_name = signature.name
            for name, values in outputs.items():
                if not wanted or name in wanted:
                    response.outputs[name].CopyFrom(_tensor_proto(values))
            return response

    async def GetModelMetadata(self, request, context):
        async with _observed(self._service, "metadata", context):
            if list(request.metadata_field) != ["signature_def"]:
                raise invalid('metadata_field must be just "signature_def".')
            name, version = _wanted(request.model_spec, self._service)
            with self._service.using(name, version) as model:
                return metadata_message(name, model)

    async def Classify(self, request, context):
        await self._not_offered(context)

    async def Regress(self, request, context):
        await self._not_offered(context)

    async def MultiInference(self, request, context):
        await self._not_offered(context)

    async def _not_offered(self, context):
        await _abort(context, Failure(Kind.NOT_OFFERED, "is not offered: use Predict."))


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: Service):
        self._service = service

    async def GetModelStatus(self, request, context):
        async with _observed(self._service, "status", context):
            return status_message(
                self._service.statuses(*_wanted(request.model_spec, self._service))
            )

    async def HandleReloadConfigRequest(self, request, context):
        await _abort(
            context, Failure(Kind.NOT_OFFERED, "is not offered: new versions are found by looking.")
        )


async def _abort(context, failure: Failure, identity: str | None = None):
    details = {"x-request-id": identity, "retry-after": failure.retry_after}
    context.set_trailing_metadata(
        tuple((key, str(value)) for key, value in details.items() if value is not None)
    )
    await context.abort(grpc.StatusCode[failure.kind.grpc_code], failure.message)


def _request_id(context) -> str:
    """The id that the client gave, where it is one, or a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == "x-request-id" and isinstance(value, str) and REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


def _key(context) -> str | None:
    """The API key in the metadata of a call, where there is one."""
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str):
            return bearer(value)
    return None


def _wanted(spec: model_pb2.ModelSpec, service: Service) -> tuple[str, int | None]:
    """Name and version that a request is for."""
    if spec.HasField("version_label"):
        return spec.name, service.labelled(spec.name, spec.version_label)
    return spec.name, spec.version.value if spec.HasField("version") else None


def _read_inputs(protos, signature: Signature, service: Service) -> Inputs:
    if protos.keys() != signature.inputs.keys():
        raise invalid(f"the inputs must be {sorted(signature.inputs)}, not {sorted(protos)}.")
    text = protos[signature.text]
    sizes = [dim.size for dim in text.tensor_shape.dim]
    if text.dtype != types_pb2.DT_STRING or len(sizes) != 1 or sizes[0] < 0:
        raise invalid(f'"{signature.text}" must be a vector of strings.')
    service.check_count(sizes[0])  # before anything of that size is made
    scalars = {
        name: _scalar(name, tensor, protos[name]) for name, tensor in signature.scalars.items()
    }
    return Inputs(_array(signature.text, text).tolist(), scalars)


def _scalar(name: str, tensor: Tensor, proto: tensor_pb2.TensorProto) -> Scalar:
    expected = types_pb2.DataType.Value(tensor.dtype)
    if proto.dtype != expected or any(dim.size != 1 for dim in proto.tensor_shape.dim):
        raise invalid(f'"{name}" must be one {tensor.dtype}.')
    try:
        return tensor.scalar(_array(name, proto).ravel()[0])
    except ValueError as error:
        raise invalid(f'"{name}" {error}.') from error


def _array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    try:
        return tf.make_ndarray(proto)
    except Exception as error:  # several, for the several ways of contradicting itself
        raise invalid(f'"{name}" is no proper tensor: {error}.') from error


def _tensor_proto(values: np.ndarray) -> tensor_pb2.TensorProto:
    if values.dtype != object:
        return tf.make_tensor_proto(values)
    shape = {"dim": [{"size": size} for size in values.shape]}
    return tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=values.ravel().tolist()
    )
