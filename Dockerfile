# One image for every part of the program; docker-compose.yml gives each its command.
FROM python:3.11-slim AS build
WORKDIR /srv/gonogo
COPY requirements/base.txt requirements/base.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
       -r requirements/base.txt
COPY . .
# A clone made with a strict umask is readable by its owner only, and COPY keeps that.
RUN GONOGO_HOME=/tmp/build STATIC_ROOT=/srv/static /opt/venv/bin/python -m config.services.prepare static \
    && rm -rf /tmp/build && chmod -R a+rX /srv

FROM python:3.11-slim
RUN useradd --system --create-home --home-dir /var/lib/gonogo gonogo
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv /srv
WORKDIR /srv/gonogo
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GONOGO_HOME=/var/lib/gonogo \
    GONOGO_MAKE_KEYS=false \
    STATIC_ROOT=/srv/static \
    TOOLS_ROOT=/var/lib/gonogo/tools \
    LOG_FORMAT=json
USER gonogo
VOLUME /var/lib/gonogo
EXPOSE 8000
