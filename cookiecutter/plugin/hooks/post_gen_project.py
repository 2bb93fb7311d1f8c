"""Take away what was not asked for."""

import shutil

if not {{ cookiecutter.ci }}:
    shutil.rmtree(".github")
