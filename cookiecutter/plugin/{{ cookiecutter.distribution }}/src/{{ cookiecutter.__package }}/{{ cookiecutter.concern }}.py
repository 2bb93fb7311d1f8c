{% include cookiecutter.concern ~ "/part.py" %}
