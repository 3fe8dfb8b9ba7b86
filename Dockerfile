# The gateway as one JavaScript file on Node, with no shell, no package manager and no root.
# `cdk deploy` builds it; by hand: docker build -t ftp-object-gateway .
# Both bases are tags: pin them by digest (--build-arg, or here) where your registry mirror tells you which.
ARG NODE_IMAGE=docker.io/library/node:24.21.0-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS build
WORKDIR /work/build
COPY package.json package-lock.json ./
# What the gateway needs, and beside it the bundler, at the versions of the lock file; no package runs a script of its own.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
 && npm install --prefix /work --no-save --ignore-scripts --no-audit --no-fund \
      "esbuild@$(node -p "require('./package-lock.json').packages['node_modules/esbuild'].version")"
COPY scripts/bundle.ts scripts/
COPY src src
RUN node scripts/bundle.ts /gateway/gateway.js && rm -rf /work

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ftp-object-gateway" \
      org.opencontainers.image.description="FTP and FTPS gateway in front of Amazon S3" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /gateway /gateway
WORKDIR /gateway
# A number, so that ECS and Kubernetes can tell that it is not root.
USER 10001:10001
# A home, because the AWS SDK asks for one and this user is in no passwd file. Ports above 1024, because of the user; every
# other setting has the default of src/config/config.ts.
ENV HOME=/gateway NODE_ENV=production CONTROL_PORT=2121 OPERATIONS_ADDRESS=0.0.0.0 OPERATIONS_PORT=8080
# glibc gives freed memory back sooner, and keeps one arena: nearly all of it belongs to one thread.
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072
EXPOSE 2121 8080 50000-50003
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["/usr/local/bin/node", "-e", "fetch(`http://127.0.0.1:${process.env.OPERATIONS_PORT}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# ftp-srv calls url.parse() once, with a constant; Node's warning about it would be a line without JSON in the log. With source
# maps a stack trace in the log names the lines of src/. Young objects need little room here, and V8 would take
# more than 100 MiB for them.
CMD ["/usr/local/bin/node", "--enable-source-maps", "--disable-warning=DEP0169", "--max-semi-space-size=8", "/gateway/gateway.js"]
