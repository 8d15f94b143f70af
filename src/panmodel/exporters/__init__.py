"""The hub → foreign dialects. Exporters know meanings and never bytes."""
