# unnoise serve, in an image without compilers, as an unprivileged user:
#     docker build -t unnoise .
#     docker run --rm --read-only -p 127.0.0.1:8000:8000 -e UNNOISE_ALLOWED_HOST=localhost unnoise
# It does not start without UNNOISE_KEY or UNNOISE_ALLOWED_HOST.

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN python -m venv /unnoise \
 && /unnoise/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[serve]"

FROM python:3.13-slim
COPY --from=build /unnoise /unnoise
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin unnoise
USER 10001
ENV PATH=/unnoise/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["unnoise", "serve", "--host", "0.0.0.0"]
