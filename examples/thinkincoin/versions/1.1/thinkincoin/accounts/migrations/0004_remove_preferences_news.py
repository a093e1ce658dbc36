from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_move_news_to_digest")]

    operations = [migrations.RemoveField(model_name="preferences", name="news")]
