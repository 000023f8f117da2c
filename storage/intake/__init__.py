"""How pictures are taken in: compared with what is known, checked, landed, labelled; the steps of an ingestion."""
