"""SAM and CloudFormation templates as applications: a template becomes a manifest, and no code of the application is imported."""
