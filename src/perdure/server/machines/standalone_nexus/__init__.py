"""Nexus operations of their own, without a workflow. Their calls are those of any operation
(`machines.workflow.nexus`); here is what they are besides."""
