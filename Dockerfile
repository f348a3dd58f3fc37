# clusterm, with ansible and an ssh client, as a user who is not root.
#
# docs/how-to/run-in-a-container.md says how to build and run it; `make image-check` does so.
#
# BASE_IMAGE may be any Debian whose python3 is 3.11 or newer and has venv. Both stages need the same one: a virtual
# environment works only with the Python that made it.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS builder

WORKDIR /build
COPY constraints.txt .
# pip is pinned like everything else; the one in the base may be too old for build constraints.
RUN python3 -m venv /opt/clusterm \
    && /opt/clusterm/bin/pip install --no-cache-dir --constraint constraints.txt pip

# What .dockerignore lets through: just what the wheel is made of.
COPY . .
RUN /opt/clusterm/bin/pip install --no-cache-dir --constraint constraints.txt --build-constraint constraints.txt .


FROM ${BASE_IMAGE}

# git tells the commit of the playbooks. tini is process 1: it passes signals on, and reaps the jobs' processes, which outlive their parents.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*

# A fixed uid, so that the owner of a volume stays the same from image to image. It needs an entry in /etc/passwd:
# ssh refuses to work for a user without a name. The state directory must belong to it before VOLUME, which copies it.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/clusterm --shell /usr/sbin/nologin clusterm \
    && install --directory --mode 0700 --owner clusterm --group clusterm /var/lib/clusterm \
    && mkdir --parents /etc/clusterm/playbooks

COPY --from=builder /opt/clusterm /opt/clusterm

# ansible refuses a locale that is not UTF-8. Loopback, the default address, cannot be reached from outside a container.
ENV PATH=/opt/clusterm/bin:$PATH \
    LANG=C.UTF-8 \
    CLUSTERM_MANAGER__ADDR=0.0.0.0:9007 \
    CLUSTERM_MANAGER__STATE_DIR=/var/lib/clusterm

# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/clusterm
VOLUME /var/lib/clusterm
EXPOSE 9007
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=10s --start-period=15s --retries=3 CMD ["clusterm", "healthcheck"]

ENTRYPOINT ["tini", "--", "clusterm"]
CMD ["serve"]
