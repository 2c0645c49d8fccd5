"""The live system: source -> newest frame -> faces -> tracks -> crops -> encoder -> window -> score -> judge -> overlay, alerts."""
