# A small image that runs without root and writes only below /data.
#
#   docker build -t keyapi-export .
#   docker run --rm --stop-timeout 30 -v "$PWD/data:/data" -e KEYAPI_TOKEN \
#       keyapi-export run --region US --from -7d --out /data/out
#
# The folder that is mounted at /data must be writable by user 65532.

FROM rust:1-slim-bookworm AS build
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
# The dependencies alone, so that a change of the source does not build them again.
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked && rm -r src
COPY src src
# The copied files may be older than the build above; cargo looks at the time.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked --bin keyapi-export

FROM debian:bookworm-slim
# Trusted roots for TLS, the only thing that the program needs of a system.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /source/target/release/keyapi-export /usr/local/bin/keyapi-export
COPY config /usr/share/keyapi-export/config
RUN mkdir /data && chown 65532:65532 /data
USER 65532:65532
WORKDIR /data
VOLUME /data
# The program drains within 25 s of SIGTERM; give it that long before the kill.
STOPSIGNAL SIGTERM
ENTRYPOINT ["keyapi-export"]
CMD ["--help"]
