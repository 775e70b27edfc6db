FROM python:3.13-slim AS build
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY LICENSE README.md alembic.ini pyproject.toml ./
COPY migrations/ migrations/
COPY orders_api/ orders_api/
# Editable: the code stays in /app, where `docker compose up --watch` replaces it.
RUN pip install --no-cache-dir --no-deps --editable .

FROM python:3.13-slim
RUN useradd --system --create-home --home-dir /app app
COPY --from=build /venv /venv
COPY --from=build --chown=app /app /app
WORKDIR /app
USER app
ENV PATH=/venv/bin:$PATH
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:8000' + os.environ.get('API_PREFIX', '').rstrip('/') + '/health')"]
CMD ["orders-api", "serve", "--host", "0.0.0.0"]
