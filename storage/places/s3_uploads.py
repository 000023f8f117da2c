"""Uploads to S3 in parts, which go on after a break where they were: the server keeps the parts that arrived whole."""

import hashlib
from contextlib import suppress
from typing import Any

PART = 5 * 1024 * 1024
"""Bytes of a part, but of the last one: the least that S3 takes."""


def upload(file_system: Any, path: str, data: bytes, timeout: float) -> tuple[int, int]:
    """Write an object, in parts where it is larger than one.

    An unfinished upload of the same key is gone on with where all its parts have the MD5 of ours. Two senders of the
    same bytes at once may share one: whoever finds it completed has nothing left to do.

    Args:
        file_system: s3fs's.
        path: ``bucket/key``.
        data: all of it.
        timeout: seconds that one request may take.

    Returns:
        Bytes that were sent, and bytes that lay there already.

    Raises:
        OSError: what s3fs makes of an error.
    """
    if len(data) <= PART:
        file_system.pipe_file(path, data, timeout=timeout)
        return len(data), 0
    bucket, key, _ = file_system.split_path(path)

    def call(method: str, **arguments: Any) -> Any:
        return file_system.call_s3(method, Bucket=bucket, timeout=timeout, **arguments)

    parts = [data[start : start + PART] for start in range(0, len(data), PART)]
    tags = [hashlib.md5(part, usedforsecurity=False).hexdigest() for part in parts]
    unfinished = {upload_id: _parts_of(call, key, upload_id) for upload_id in _uploads_of(call, key)}
    fitting = {
        upload_id: there
        for upload_id, there in unfinished.items()
        if all(0 < number <= len(tags) and tags[number - 1] == tag for number, tag in there.items())
    }
    upload_id = max(fitting, key=lambda one: len(fitting[one]), default=None)
    there = fitting.get(upload_id or "", {})
    sent = 0
    try:
        if upload_id is None:
            upload_id = call("create_multipart_upload", Key=key)["UploadId"]
        answered = dict(there)
        for number, part in enumerate(parts, start=1):
            if number not in there:
                answer = call("upload_part", Key=key, UploadId=upload_id, PartNumber=number, Body=part)
                answered[number] = answer["ETag"].strip('"')
                sent += len(part)
        numbered = [{"PartNumber": number, "ETag": f'"{answered[number]}"'} for number in sorted(answered)]
        call("complete_multipart_upload", Key=key, UploadId=upload_id, MultipartUpload={"Parts": numbered})
    except OSError:
        if not _is_complete(call, key, tags):
            raise
    for other in unfinished:
        if other != upload_id:
            with suppress(OSError):  # gone, or not ours to remove: it does no harm
                call("abort_multipart_upload", Key=key, UploadId=other)
    return sent, sum(len(parts[number - 1]) for number in there)


def _uploads_of(call: Any, key: str) -> list[str]:
    """Unfinished uploads of a key; none that can be known where the server does not let us list them."""
    try:
        found = call("list_multipart_uploads", Prefix=key).get("Uploads") or []
    except (PermissionError, NotImplementedError):
        return []
    return [one["UploadId"] for one in found if one["Key"] == key]


def _parts_of(call: Any, key: str, upload_id: str) -> dict[int, str]:
    """MD5 by number of the parts that arrived; none of an upload that is gone since."""
    try:
        found = call("list_parts", Key=key, UploadId=upload_id).get("Parts") or []
    except OSError:
        return {}
    return {one["PartNumber"]: one["ETag"].strip('"') for one in found}


def _is_complete(call: Any, key: str, tags: list[str]) -> bool:
    """Whether the object of these parts stands there: another sender was faster."""
    together = hashlib.md5(b"".join(map(bytes.fromhex, tags)), usedforsecurity=False).hexdigest()
    try:
        return bool(call("head_object", Key=key)["ETag"].strip('"') == f"{together}-{len(tags)}")
    except OSError:
        return False
