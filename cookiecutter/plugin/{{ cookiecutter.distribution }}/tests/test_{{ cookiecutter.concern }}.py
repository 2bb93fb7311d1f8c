{% include cookiecutter.concern ~ "/test.py" %}
