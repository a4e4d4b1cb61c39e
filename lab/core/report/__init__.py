"""Reports on drills: tables against the study, drawings, a page, JSON with its schema, JUnit. Pure."""
