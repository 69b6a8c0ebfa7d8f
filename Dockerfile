# docker build -t bids-spheres .     What else can be given is in docker/README.md.

ARG BASE_IMAGE=python:3.12-slim-bookworm

# Templates are not downloaded by the build, which takes nothing that the lock does not vouch for. A
# folder of them takes the place of this stage by --build-context templates=FOLDER.
FROM scratch AS templates
COPY docker/templates /

FROM ${BASE_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_COMPILE=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /build

# Locked tools and no build isolation, which would take unlocked ones from the index.
COPY docker/build.lock docker/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --quiet --require-hashes -r docker/build.lock

# Before the source, so that a change of it does not fetch everything again.
COPY docker/requirements.lock docker/
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --quiet --no-deps --require-hashes --no-build-isolation \
      --wheel-dir /wheels -r docker/requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY bids_spheres bids_spheres
RUN pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels .

# The environment has no pip, and the packages neither their tests nor what only a compiler reads:
# nothing imports these, and they are a quarter of the size.
RUN python -m venv --without-pip /opt/bids-spheres && \
    pip --python /opt/bids-spheres/bin/python install --quiet --no-index --no-deps /wheels/*.whl && \
    cd /opt/bids-spheres/lib/python3*/site-packages && \
    find . -type d \( -name tests -o -name test \) -prune -exec rm -r {} + && \
    find . -type f \( -name '*.c' -o -name '*.h' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.pyx' \
      \) -delete

# Trusted without a look at the source's time, which not every image format keeps.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/bids-spheres/lib 2>/dev/null

# The list of fonts, which matplotlib would otherwise make in every process.
RUN MPLCONFIGDIR=/opt/bids-spheres/share/matplotlib \
    /opt/bids-spheres/bin/python -B -c "import matplotlib.font_manager"

FROM ${BASE_IMAGE}

# The official image comes without bytecode, and nobody but root could write it.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
      -x '/(ensurepip|idlelib|lib2to3|pydoc_data|site-packages|test|tkinter|turtledemo)/' \
      /usr/local/lib/python3*/

COPY --from=build /opt/bids-spheres /opt/bids-spheres
COPY --from=templates / /opt/templateflow/

ENV PATH=/opt/bids-spheres/bin:$PATH \
    MPLCONFIGDIR=/opt/bids-spheres/share/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    TEMPLATEFLOW_HOME=/opt/templateflow

ARG VERSION=0.2.0
# A label that says another version than the program would be worse than none.
RUN test "$(bids-spheres --version)" = "bids-spheres ${VERSION}"

ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="bids-spheres" \
      org.opencontainers.image.description="From fMRIPrep's output to time series and connectivity of spheres around seed coordinates, as a BIDS App" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.authors="The bids_spheres developers"

USER 1000:1000
ENTRYPOINT ["bids-spheres"]
