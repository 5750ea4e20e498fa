"""The scenarios of the public SDKs' echo suites: the stock Python SDK's RPC layer against echo-rpc-host.

    echo_sdk_test.py ECHO_RPC_HOST
"""

import base64
import datetime
import queue
import subprocess
import sys
import threading
import unittest

import awsiot.eventstreamrpc as rpc
from awscrt.eventstream import Header
from awscrt.eventstream.rpc import MessageType
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

TIMEOUT_S = 10


# --- awstest#EchoTestRPC, as far as the wheel does not bring it -----------------------------------


def shape(name, members, base=rpc.Shape):
    """A shape whose `members` are {attribute: (name in JSON, to JSON, from JSON)}."""
    same = lambda value: value

    class Made(base):
        def __init__(self, **values):
            super().__init__()
            for attribute in members:
                setattr(self, attribute, values.get(attribute))

        def _to_payload(self):
            return {(spec or (attribute,))[0]: (spec[1] if spec and len(spec) > 1 else same)(getattr(self, attribute))
                    for attribute, spec in members.items() if getattr(self, attribute) is not None}

        @classmethod
        def _from_payload(cls, payload):
            return cls(**{attribute: (spec[2] if spec and len(spec) > 2 else same)(payload[(spec or (attribute,))[0]])
                          for attribute, spec in members.items() if (spec or (attribute,))[0] in payload})

        @classmethod
        def _model_name(cls):
            return f"awstest#{name}"

        def _get_error_type_string(self):
            return "server"

        def __eq__(self, other):
            return isinstance(other, type(self)) and self.__dict__ == other.__dict__

    Made.__name__ = name
    return Made


def nested(of):
    return lambda value: value._to_payload(), lambda value: of._from_payload(value)


def many(of):
    return lambda values: [each._to_payload() for each in values], lambda values: [of._from_payload(each) for each in values]


utc = lambda seconds: datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
Pair = shape("Pair", {"key": None, "value": None})
Product = shape("Product", {"name": None, "price": None})
Customer = shape("Customer", {"id": None, "first_name": ("firstName",), "last_name": ("lastName",)})
MessageData = shape("MessageData", {
    "string_message": ("stringMessage",), "boolean_message": ("booleanMessage",), "document_message": ("documentMessage",),
    "time_message": ("timeMessage", lambda time: time.timestamp(), utc), "enum_message": ("enumMessage",),
    "blob_message": ("blobMessage", lambda blob: base64.b64encode(blob).decode(), base64.b64decode),
    "string_list_message": ("stringListMessage",), "key_value_pair_list": ("keyValuePairList", *many(Pair)),
    "string_to_value": ("stringToValue", lambda map_: {key: each._to_payload() for key, each in map_.items()},
                        lambda map_: {key: Product._from_payload(each) for key, each in map_.items()})})
EchoMessageRequest = shape("EchoMessageRequest", {"message": ("message", *nested(MessageData))})
EchoMessageResponse = shape("EchoMessageResponse", {"message": ("message", *nested(MessageData))})
EchoStreamingRequest, EchoStreamingResponse = shape("EchoStreamingRequest", {}), shape("EchoStreamingResponse", {})
EchoStreamingMessage = shape("EchoStreamingMessage", {"stream_message": ("streamMessage", *nested(MessageData)),
                                                      "key_value_pair": ("keyValuePair", *nested(Pair))})
CauseServiceErrorRequest, CauseServiceErrorResponse = (shape(f"CauseServiceError{end}", {}) for end in ("Request", "Response"))
GetAllProductsRequest, GetAllCustomersRequest = shape("GetAllProductsRequest", {}), shape("GetAllCustomersRequest", {})
GetAllProductsResponse = shape("GetAllProductsResponse", {"products": (
    "products", lambda map_: map_, lambda map_: {key: Product._from_payload(each) for key, each in map_.items()})})
GetAllCustomersResponse = shape("GetAllCustomersResponse", {"customers": ("customers", *many(Customer))})
ServiceError = shape("ServiceError", {"message": None, "value": None}, rpc.ErrorShape)
SHAPES = rpc.ShapeIndex([EchoMessageRequest, EchoMessageResponse, EchoStreamingRequest, EchoStreamingResponse,
                         EchoStreamingMessage, CauseServiceErrorRequest, CauseServiceErrorResponse, GetAllProductsRequest,
                         GetAllProductsResponse, GetAllCustomersRequest, GetAllCustomersResponse, ServiceError])


def operation(name, request, response, event=None):
    class Made(rpc.ClientOperation):
        @classmethod
        def _model_name(cls):
            return f"awstest#{name}"

        @classmethod
        def _request_type(cls):
            return request

        @classmethod
        def _response_type(cls):
            return response

        @classmethod
        def _request_stream_type(cls):
            return event

        @classmethod
        def _response_stream_type(cls):
            return event

    return Made


OPERATIONS = {each._model_name().removeprefix("awstest#"): each for each in (
    operation("EchoMessage", EchoMessageRequest, EchoMessageResponse),
    operation("CauseServiceError", CauseServiceErrorRequest, CauseServiceErrorResponse),
    operation("GetAllProducts", GetAllProductsRequest, GetAllProductsResponse),
    operation("GetAllCustomers", GetAllCustomersRequest, GetAllCustomersResponse),
    operation("EchoStreamMessages", EchoStreamingRequest, EchoStreamingResponse, EchoStreamingMessage),
    operation("CauseStreamServiceToError", EchoStreamingRequest, EchoStreamingResponse, EchoStreamingMessage))}


class Life(rpc.LifecycleHandler):
    def __init__(self):
        self.connected, self.disconnected = threading.Event(), threading.Event()
        self.reason, self.errors = None, queue.Queue()

    def on_connect(self):
        self.connected.set()

    def on_disconnect(self, reason):
        self.reason = reason
        self.disconnected.set()

    def on_error(self, error):
        self.errors.put(error)
        return True


class Events(rpc.StreamResponseHandler):
    def __init__(self):
        self.events, self.errors, self.closed = queue.Queue(), queue.Queue(), threading.Event()

    def on_stream_event(self, event):
        self.events.put(event)

    def on_stream_error(self, error):
        self.errors.put(error)
        return False

    def on_stream_closed(self):
        self.closed.set()


class Echo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = subprocess.Popen([PROGRAM, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, port = cls.host.stdout.readline().split()
        assert word == "ready"
        cls.port = int(port)
        group = EventLoopGroup(1)
        cls.bootstrap = ClientBootstrap(group, DefaultHostResolver(group))

    @classmethod
    def tearDownClass(cls):
        cls.host.stdin.close()
        assert cls.host.wait(TIMEOUT_S) == 0
        cls.host.stdout.close()

    def connection(self, name="accepted.testy_mc_testerson", port=None):
        amend = lambda: rpc.MessageAmendment(headers=[Header.from_string("client-name", name)])
        return rpc.Connection(host_name="127.0.0.1", port=port or self.port, bootstrap=self.bootstrap, connect_message_amender=amend)

    def connect(self):
        connection, life = self.connection(), Life()
        connection.connect(life).result(TIMEOUT_S)
        return connection, life

    def close(self, connection, life):
        self.assertIsNone(connection.close().exception(TIMEOUT_S))
        self.assertTrue(life.disconnected.wait(TIMEOUT_S))
        self.assertIsNone(life.reason)
        self.assertTrue(life.errors.empty())

    def begin(self, connection, name, request, events=None):
        made = rpc.Client(connection, SHAPES)._new_operation(OPERATIONS[name], events)
        made._activate(request).result(TIMEOUT_S)
        return made

    def ask(self, connection, name, request):
        return self.begin(connection, name, request)._get_response().result(TIMEOUT_S)

    def test_who_is_not_accepted_is_refused_and_nobody_is_where_nobody_listens(self):
        refused = self.connection("rejected.testy_mc_failureson").connect(Life()).exception(TIMEOUT_S)
        self.assertIsInstance(refused, rpc.AccessDeniedError)
        self.assertIsNotNone(self.connection(port=1).connect(Life()).exception(TIMEOUT_S))

    # IPC-23
    def test_every_kind_of_member_comes_back(self):
        connection, life = self.connect()
        message = MessageData(
            string_message="👁👄👁", boolean_message=True, time_message=utc(946684800), enum_message="ban",
            document_message={"inty": 4, "floaty": 4.0, "listy": [1, "two", 3.0, False, True, {}, None],
                              "dicty": {"a": [1, 2, 3, {"e": 9}], "b": None}, "nully": None},
            blob_message=bytes(range(256)), string_list_message=["one", "two"],
            key_value_pair_list=[Pair(key="k", value="v"), Pair(key="k", value="v")],
            string_to_value={"a": Product(name="Milk", price=1.5)})
        answer = self.ask(connection, "EchoMessage", EchoMessageRequest(message=message))
        for member, value in message.__dict__.items():
            self.assertEqual(getattr(answer.message, member), value, member)
        self.assertEqual(self.ask(connection, "EchoMessage", EchoMessageRequest(message=MessageData())).message, MessageData())
        products = self.ask(connection, "GetAllProducts", GetAllProductsRequest()).products
        self.assertEqual(products, {"A0001": Product(name="Milk", price=1.5)})
        customers = self.ask(connection, "GetAllCustomers", GetAllCustomersRequest()).customers
        self.assertEqual(customers, [Customer(id=1, first_name="Ada", last_name="Lovelace")])
        self.close(connection, life)

    def test_a_large_message_comes_back(self):
        connection, life = self.connect()
        large = MessageData(string_message="x" * 3_000_000)
        self.assertEqual(self.ask(connection, "EchoMessage", EchoMessageRequest(message=large)).message, large)
        self.close(connection, life)

    def test_a_modelled_error_is_one(self):
        connection, life = self.connect()
        error = self.begin(connection, "CauseServiceError", CauseServiceErrorRequest())._get_response().exception(TIMEOUT_S)
        self.assertIsInstance(error, ServiceError)
        self.assertEqual(error.message, "Intentionally caused ServiceError")
        self.close(connection, life)

    def test_streams_echo_side_by_side(self):
        connection, life = self.connect()
        streams = [(Events(), number) for number in range(5)]
        begun = [self.begin(connection, "EchoStreamMessages", EchoStreamingRequest(), events) for events, _ in streams]
        sent = lambda number, turn: EchoStreamingMessage(key_value_pair=Pair(key=str(number), value=str(turn)))
        for turn in range(20):
            for made, (_, number) in zip(begun, streams):
                made._send_stream_event(sent(number, turn)).result(TIMEOUT_S)
        for events, number in streams:
            for turn in range(20):
                self.assertEqual(events.events.get(timeout=TIMEOUT_S), sent(number, turn))
        last = EchoStreamingMessage(stream_message=MessageData(string_message="bye"))
        begun[0]._send_stream_event(last).result(TIMEOUT_S)
        self.assertEqual(streams[0][0].events.get(timeout=TIMEOUT_S), last)
        begun[0].close().result(TIMEOUT_S)
        self.assertTrue(streams[0][0].closed.wait(TIMEOUT_S))
        self.close(connection, life)
        for events, _ in streams:
            self.assertTrue(events.closed.wait(TIMEOUT_S))
            self.assertTrue(events.errors.empty())

    def test_a_stream_ends_in_an_error(self):
        connection, life = self.connect()
        events = Events()
        made = self.begin(connection, "CauseStreamServiceToError", EchoStreamingRequest(), events)
        self.assertIsInstance(made._get_response().result(TIMEOUT_S), EchoStreamingResponse)
        made._send_stream_event(EchoStreamingMessage(stream_message=MessageData()))
        self.assertIsInstance(events.errors.get(timeout=TIMEOUT_S), ServiceError)
        self.assertTrue(events.closed.wait(TIMEOUT_S))
        self.close(connection, life)

    def test_a_bad_message_is_named_and_ends_the_connection(self):
        connection, life = self.connect()
        connection._synced.current_connection.send_protocol_message(
            headers=[Header.from_int32(":stream-id", -999)], message_type=MessageType.APPLICATION_MESSAGE)
        self.assertIsInstance(life.errors.get(timeout=TIMEOUT_S), rpc.EventStreamError)
        self.assertTrue(life.disconnected.wait(TIMEOUT_S))
        self.assertIsInstance(life.reason, rpc.EventStreamError)

    def test_connections_come_and_go_also_in_the_midst_of_their_setup(self):
        connection = self.connection()
        for _ in range(3):
            life = Life()
            connection.connect(life).result(TIMEOUT_S)
            self.close(connection, life)
        for _ in range(20):
            connected = connection.connect(Life())
            connection.close().exception(TIMEOUT_S)
            connected.exception(TIMEOUT_S)
        reason = RuntimeError("my close reason")
        life = Life()
        connection.connect(life).result(TIMEOUT_S)
        self.assertIs(connection.close(reason).exception(TIMEOUT_S), reason)
        self.assertTrue(life.disconnected.wait(TIMEOUT_S))
        self.assertIs(life.reason, reason)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
