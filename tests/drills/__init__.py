"""Drills: whole runs under kills, full disks and storage that fails, judged by independent reading."""
