"""A small Hub for tests: a server, and repositories in the cache of huggingface_hub."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

COMMIT = "c" * 40
ERRORS = {"absent": (404, "RepoNotFound"), "gated": (403, "GatedRepo"), "broken": (500, "")}


@contextmanager
def serve(
    repositories: Mapping[str, Mapping[str, bytes]], revision: str = "main"
) -> Iterator[tuple[str, list[str]]]:
    """Serve files by repository and name.

    Repositories with the names "absent", "gated" and "broken" answer with the errors of `ERRORS`.

    Yields:
        The address of the server, and a list of the files that were downloaded so far.
    """
    downloads: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            parts = [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]
            if parts[:2] == ["api", "models"]:
                repository = "/".join(parts[2:4])
                action = parts[4:] or ["revision", revision]
            else:
                repository = "/".join(parts[:2])
                action = parts[2:]
            repository_name = repository.split("/")[1]
            if repository_name in ERRORS:
                status, code = ERRORS[repository_name]
                self.answer(status, b"{}", X_Error_Code=code)
                return
            files = repositories[repository]
            file_name = "/".join(action[2:])
            if action[1] not in (revision, COMMIT):
                self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
            elif action[0] == "revision":
                self.json(
                    {
                        "id": repository,
                        "sha": COMMIT,
                        "siblings": [{"rfilename": name} for name in files],
                    }
                )
            elif action[0] == "tree":
                self.json([entry(name, files[name]) for name in files])
            elif file_name in files:
                if self.command == "GET":
                    downloads.append(file_name)
                etag = f'"{digest(files[file_name])}"'
                self.answer(
                    200,
                    files[file_name],
                    ETag=etag,
                    X_Repo_Commit=COMMIT,
                    Content_Type="application/octet-stream",
                )
            else:
                self.answer(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)

        def json(self, content: object) -> None:
            self.answer(200, json.dumps(content).encode(), Content_Type="application/json")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", downloads
    server.shutdown()
    server.server_close()
    thread.join()


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "oid": digest(content), "size": len(content), "path": name}


@contextmanager
def online(
    monkeypatch: pytest.MonkeyPatch, repositories: Mapping[str, Mapping[str, bytes]]
) -> Iterator[list[str]]:
    """Serve repositories as the Hub of huggingface_hub.

    Yields:
        A list of the files that were downloaded so far.
    """
    with serve(repositories) as (address, downloads):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield downloads


def store_repository(
    cache: Path,
    repo: str,
    files: Mapping[str, str | bytes],
    commit: str = "0" * 40,
    reference: str | None = "main",
) -> Path:
    """Write a repository as huggingface_hub caches it: blobs, and snapshots of links to them.

    Args:
        cache: The cache folder.
        repo: The id of the repository.
        files: The contents by name.
        commit: The commit of the snapshot.
        reference: The branch or tag of the commit; None: there is none.

    Returns:
        The folder of the repository in the cache.
    """
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    if reference is not None:
        (root / "refs" / reference).parent.mkdir(parents=True, exist_ok=True)
        (root / "refs" / reference).write_text(commit)
    for number, (name, content) in enumerate(files.items()):
        blob = root / "blobs" / f"{commit[:8]}{number}"
        blob.write_bytes(content if isinstance(content, bytes) else content.encode())
        link = root / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return root
