# Builds a small image that runs as nobody in particular and writes only below /data.
#
#   docker build -t keyapi-export .
#   docker run --rm -v "$PWD/data:/data" -e KEYAPI_TOKEN keyapi-export run --region US --from -7d --out /data/out
#
# The folder that is mounted at /data must be writable by user 65532.

FROM rust:1-slim-bookworm AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
# The dependencies alone, so that a change of the source does not build them again.
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && mkdir -p tests/it && touch tests/it/main.rs \
    && cargo build --release --locked && rm -r src tests
COPY src src
COPY config config
# The copied files may be older than the build above; cargo looks at the time.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked --bin keyapi-export

FROM debian:bookworm-slim
RUN useradd --uid 65532 --no-create-home --shell /usr/sbin/nologin exporter \
    && mkdir /data && chown 65532:65532 /data
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /source/target/release/keyapi-export /usr/local/bin/keyapi-export
COPY config /usr/share/keyapi-export/config
USER 65532:65532
WORKDIR /data
VOLUME /data
# SIGTERM drains within 25 s; give it that long: docker stop --time 30.
STOPSIGNAL SIGTERM
ENTRYPOINT ["keyapi-export"]
CMD ["--help"]
