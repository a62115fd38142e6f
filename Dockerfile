# A small image that runs without root, with a read-only root, and writes only below /data.
#
#   docker build -t keyapi-export .
#   docker run --rm --read-only --stop-timeout 30 -v "$PWD/data:/data" -e KEYAPI_TOKEN \
#       keyapi-export run --region US --from -7d
#
# The folder that is mounted at /data must be writable by user 65532. deploy/release/image makes the last stage alone, from a
# program that is built already and without a base image.

FROM rust:1-slim-bookworm AS build
WORKDIR /source
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
# The dependencies alone, so that a change of the source does not build them again.
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked && rm -r src
COPY src src
# The copied files may be older than the build above; cargo looks at the time.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked --bin keyapi-export
COPY LICENSE-APACHE LICENSE-MIT ./
COPY config config
COPY deploy/release deploy/release
RUN deploy/release/rootfs target/release/keyapi-export /image

FROM scratch
COPY --from=build /image/root /
COPY --from=build --chown=65532:65532 /image/volume /
USER 65532:65532
WORKDIR /data
VOLUME /data
# The program drains within 25 s of SIGTERM; give it that long before the kill.
STOPSIGNAL SIGTERM
# Whether the run's journal is there and can be read. It looks where a run writes without further settings, or where the variables
# KEYAPI_EXPORT_CONFIG, KEYAPI_EXPORT_OUTPUT__FOLDER and KEYAPI_EXPORT_STATE__FOLDER say; a flag is not seen by it.
HEALTHCHECK --interval=5m --timeout=1m --start-period=2m CMD ["/usr/local/bin/keyapi-export", "status"]
ENTRYPOINT ["/usr/local/bin/keyapi-export"]
CMD ["--help"]
