"""Folders at URLs: on local disk, over S3, SFTP and HTTP."""
