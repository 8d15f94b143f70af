"""Foreign graph dialects → the hub. Importers know meanings and never bytes."""
