"""The service on Ray Serve: `serve run ray_serve:app`, here, with the extras ray and serve and with ray[serve]."""

from ray import serve

from unnoise.service import app as service
from unnoise.service.limits import Limits


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1})  # one picture each at a time, on a core of its own
@serve.ingress(lambda: service.make(Limits(workers=1), engine="onnx"))
class Unnoise:
    """The application behind `unnoise serve`; only a job's name is known to no replica but the one that has it."""


app = Unnoise.bind()
