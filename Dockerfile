# API and CPU worker. One image, two commands: see docker-compose.yml.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY core core
COPY store store
COPY spec spec
COPY engine engine
COPY api api
COPY worker worker
COPY gradworks gradworks
COPY migrations migrations
RUN python -m venv /opt/gradworks \
 && /opt/gradworks/bin/pip install --no-cache-dir -c constraints.txt '.[postgres]'

FROM python:3.12-slim
# The compiled training step needs a C compiler; without one jobs run on the interpreter.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin gradworks \
 && install -d -o gradworks -g gradworks -m 700 /data
COPY --from=build /opt/gradworks /opt/gradworks
ENV PATH=/opt/gradworks/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRADWORKS_DATA_DIR=/data
USER 10001
VOLUME /data
EXPOSE 8000
CMD ["uvicorn", "--factory", "api.app:create_app", "--host", "0.0.0.0", "--port", "8000", "--no-server-header"]
