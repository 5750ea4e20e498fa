"""Plain FedAvg of Flower over as many updates, in one process and without its transport: an update is made a message by the
device, read by the server, and all of them are aggregated. Neither masks nor files.

    flower.py DEVICES PARAMETERS
"""

import json
import resource
import sys
import time

import numpy as np
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays, serde
from flwr.proto.transport_pb2 import ClientMessage
from flwr.server.strategy import FedAvg


def main():
    devices, parameters = map(int, sys.argv[1:])
    rng = np.random.default_rng(1)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    device_s = server_s = 0
    results, total = [], 0.0
    for _ in range(devices):
        update = rng.normal(0, 1, parameters).astype(np.float32)
        total += float(update[0])
        start = time.perf_counter()
        answer = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([update]), 1, {})
        sent = serde.fit_res_to_proto(answer).SerializeToString()
        device_s += time.perf_counter() - start
        start = time.perf_counter()
        read = ClientMessage.FitRes()
        read.ParseFromString(sent)
        results.append((None, serde.fit_res_from_proto(read)))
        server_s += time.perf_counter() - start
    start = time.perf_counter()
    aggregated, _ = FedAvg(inplace=True).aggregate_fit(1, results, [])
    server_s += time.perf_counter() - start
    assert abs(parameters_to_ndarrays(aggregated)[0][0] - total / devices) < 1e-3
    print(json.dumps({"devices": devices, "parameters": parameters, "deviceMsPerDevice": device_s * 1000 / devices,
                      "serverMsPerDevice": server_s * 1000 / devices,
                      "serverMb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb}))


if __name__ == "__main__":
    main()
