from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("courses", "0003_complete_what_is_done")]

    operations = [migrations.RemoveField(model_name="progress", name="state")]
