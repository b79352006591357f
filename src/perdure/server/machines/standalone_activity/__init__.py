"""Activities of their own: a job queue without a workflow. Their attempts are those of any activity
(`machines.activity.attempt`); here is what they are besides."""
