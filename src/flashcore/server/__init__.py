"""The control plane's process: controller, control API, and the gateway that it keeps alive."""
