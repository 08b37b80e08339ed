# Builds the nodeprefetch image from source; see docs/image.md. Targets: `image` (the default), `distro`.
# dev/image builds it without access to a registry.

# Base images are pinned by digest: dev/pin-images updates them.
# Provides the image's Python, and a compiler for platforms without wheels of some dependencies.
ARG BUILDER=docker.io/library/python:3.13-trixie@sha256:82c46c08c991d3d3ff10476ac5e386c2c28f27bbd3985a02c5e39fe99ab272eb
# Must be the same Debian release: its C library must not be older than the builder's.
ARG DISTRO=docker.io/library/debian:trixie-slim@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f

FROM ${DISTRO} AS distro-base

FROM ${BUILDER} AS build
# For pip, in builds that provide their own wheels.
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ARG SOURCE_DATE_EPOCH=0
ENV PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1
COPY --from=distro-base /usr/lib /distro/usr/lib
COPY dev/requirements/run.txt /src/dev/requirements/
RUN python3 -m pip install --quiet --target /installed --require-hashes -r /src/dev/requirements/run.txt
COPY . /src
RUN cd /src && PYTHONPATH=/installed python3 -m pip install --quiet --target /installed --no-deps --no-build-isolation . \
    && python3 -X no_debug_ranges dev/imagebuild/assemble.py --installed /installed --license LICENSE --distro /distro --out /out

FROM ${DISTRO} AS distro
COPY --from=build /out/distro-libraries/ /
COPY --from=build /out/python/ /
COPY --from=build /out/dependencies/ /
COPY --from=build /out/product/ /
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nodeprefetch" \
      org.opencontainers.image.description="Pulls container images onto Kubernetes nodes before pods need them" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/nodeprefetch/nodeprefetch" \
      org.opencontainers.image.documentation="https://github.com/nodeprefetch/nodeprefetch/blob/main/docs/image.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV LANG=C.UTF-8
USER 65532:65532
ENTRYPOINT ["/usr/bin/nodeprefetch"]

FROM scratch AS image
COPY --from=build /out/system/ /
COPY --from=build /out/libraries/ /
COPY --from=build /out/python/ /
COPY --from=build /out/dependencies/ /
COPY --from=build /out/product/ /
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nodeprefetch" \
      org.opencontainers.image.description="Pulls container images onto Kubernetes nodes before pods need them" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/nodeprefetch/nodeprefetch" \
      org.opencontainers.image.documentation="https://github.com/nodeprefetch/nodeprefetch/blob/main/docs/image.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
ENTRYPOINT ["/usr/bin/nodeprefetch"]
