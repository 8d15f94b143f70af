"""Whether files could execute something or reach outside: every scanner that recognises a file looks at it."""
