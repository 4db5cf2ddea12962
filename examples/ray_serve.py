"""The service on Ray Serve: `serve run ray_serve:app` in this folder, with the extras ray and serve, and ray[serve]."""

from ray import serve

from unnoise.service import app as service
from unnoise.service.limits import Limits


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1})  # one image at a time, on one core each
@serve.ingress(lambda: service.make(Limits(workers=1), engine="onnx"))
class Unnoise:
    """The application behind `unnoise serve`; a job is known only to the replica that runs it."""


app = Unnoise.bind()
