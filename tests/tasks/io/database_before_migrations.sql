BEGIN TRANSACTION;
CREATE TABLE alerts (
	"key" VARCHAR(64) NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE api_keys (
	key_id VARCHAR(16) NOT NULL, 
	name VARCHAR(100) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	scopes VARCHAR(100) NOT NULL, 
	made_at DATETIME NOT NULL, 
	revoked_at DATETIME, 
	PRIMARY KEY (key_id), 
	UNIQUE (digest)
);
INSERT INTO "api_keys" VALUES('5ce2013e','shop','9246904483ddbb78201032ed359357c3e194a5e1990346313c5710db77e0e22d','predict','2026-11-29 22:40:30.000000',NULL);
CREATE TABLE drift_reports (
	use_case VARCHAR(63) NOT NULL, 
	evidence VARCHAR(64) NOT NULL, 
	window_end VARCHAR(10) NOT NULL, 
	report TEXT NOT NULL, 
	PRIMARY KEY (use_case, evidence)
);
INSERT INTO "drift_reports" VALUES('purchase_propensity','9ec1e7bddb95754139d06016445e457ffecf8006364a8a705e1fd96a59416886','2025-12-23','{"checks": [{"check": "column_drift", "column": "unit_price", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.06307358741848303, "violated": false}, {"check": "column_drift", "column": "quantity", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.04943205338305039, "violated": false}, {"check": "column_drift", "column": "item_id", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.0603115829570243, "violated": false}, {"check": "column_drift", "column": "segment", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.13405324015130549, "violated": false}, {"check": "prediction_drift", "column": "prediction", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.3, "value": 0.0, "violated": false}, {"check": "unit_change", "column": "unit_price", "method": "rescaled_by", "note": "", "signal": "fault", "threshold": 1.5, "value": 1.046242774566474, "violated": false}, {"check": "unit_change", "column": "quantity", "method": "rescaled_by", "note": "", "signal": "fault", "threshold": 1.5, "value": 1.0, "violated": false}, {"check": "missing_values", "column": "item_id", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.0, "violated": false}, {"check": "missing_values", "column": "unit_price", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.0, "violated": false}, {"check": "missing_values", "column": "user_id", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.07461353538937038, "violated": false}, {"check": "missing_days", "column": "event_at", "method": "days_missing", "note": "", "signal": "fault", "threshold": 1.0, "value": 0.0, "violated": false}, {"check": "volume", "column": "rows", "method": "times_usual", "note": "", "signal": "fault", "threshold": 4.0, "value": 1.2091097308488612, "violated": false}, {"check": "doubled_rows", "column": "rows", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.1, "value": 0.0, "violated": false}, {"check": "frozen_rows", "column": "rows", "method": "share_repeated", "note": "", "signal": "fault", "threshold": 0.5, "value": 0.0030978934324659233, "violated": false}], "current_rows": 483, "evidence": "9ec1e7bddb95754139d06016445e457ffecf8006364a8a705e1fd96a59416886", "figures": {"answers": 6100.0, "cold_share": 0.0, "doubled_answer_share": 0.0, "invalid_share": 0.0, "item_coverage": 0.967391304347826, "subjects": 610.0}, "new_labels": 483, "reference": "version 1, data before 2025-12-22", "reference_rows": 53994, "report_uri": "http://127.0.0.1:5000/#/experiments/1/runs/3d9f39a1dec44b9bb919dd8af82ae3bc/artifacts/drift.html", "run_id": "3d9f39a1dec44b9bb919dd8af82ae3bc", "use_case": "purchase_propensity", "violated": false, "window": {"end": "2025-12-23", "start": "2025-12-22"}}');
INSERT INTO "drift_reports" VALUES('purchase_propensity','75317f4e34150699e9353bf42226ca8642ee1f80848f017b48680b8803894022','2026-01-20','{"checks": [{"check": "column_drift", "column": "unit_price", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.2769787886780311, "violated": true}, {"check": "column_drift", "column": "quantity", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.008323605601911083, "violated": false}, {"check": "column_drift", "column": "item_id", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.6030372316840207, "violated": true}, {"check": "column_drift", "column": "segment", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.2868086539839621, "violated": true}, {"check": "prediction_drift", "column": "prediction", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.3, "value": 0.006623465857800925, "violated": false}, {"check": "unit_change", "column": "unit_price", "method": "rescaled_by", "note": "", "signal": "fault", "threshold": 1.5, "value": 1.0, "violated": false}, {"check": "unit_change", "column": "quantity", "method": "rescaled_by", "note": "", "signal": "fault", "threshold": 1.5, "value": 1.0, "violated": false}, {"check": "missing_values", "column": "item_id", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.0, "violated": false}, {"check": "missing_values", "column": "unit_price", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.0, "violated": false}, {"check": "missing_values", "column": "user_id", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.005151367360382783, "violated": false}, {"check": "missing_days", "column": "event_at", "method": "days_missing", "note": "", "signal": "fault", "threshold": 1.0, "value": 0.0, "violated": false}, {"check": "volume", "column": "rows", "method": "times_usual", "note": "", "signal": "fault", "threshold": 4.0, "value": 1.0111301369863013, "violated": false}, {"check": "doubled_rows", "column": "rows", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.1, "value": 0.0, "violated": false}, {"check": "frozen_rows", "column": "rows", "method": "share_repeated", "note": "", "signal": "fault", "threshold": 0.5, "value": 0.0, "violated": false}], "current_rows": 13867, "evidence": "75317f4e34150699e9353bf42226ca8642ee1f80848f017b48680b8803894022", "figures": {"answers": 6110.0, "brier": 0.19727607356438862, "calibration_error": 0.3866981570143635, "calibration_ratio": 40.474886949828026, "cold_share": 0.0, "dcg": 0.05059081554177887, "dcg_corrected": 0.17713519023573435, "doubled_answer_share": 0.0, "hit_rate": 0.04379806084921431, "hit_share": 0.009796054831160148, "hit_share_corrected": 0.04486793714476764, "invalid_share": 0.0, "item_coverage": 0.34076433121019106, "label_coverage": 1.0, "log_cold_share": 0.0016339869281045752, "log_doubled_share": 0.0, "log_invalid_share": 0.0, "matured_answers": 2991.0, "subjects": 611.0, "value_per_answer": 2.041641591440989}, "new_labels": 14350, "reference": "version 1, data before 2025-12-22", "reference_rows": 53994, "report_uri": "http://127.0.0.1:5000/#/experiments/1/runs/4ee8672e12744172b908782daad92465/artifacts/drift.html", "run_id": "4ee8672e12744172b908782daad92465", "use_case": "purchase_propensity", "violated": true, "window": {"end": "2026-01-20", "start": "2025-12-23"}}');
INSERT INTO "drift_reports" VALUES('purchase_propensity','c1e0b1d4d3a138c6da2c5e646389b201e3c7b81d9effeb5baba4048a00413836','2026-02-17','{"checks": [{"check": "column_drift", "column": "unit_price", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.2629910767431093, "violated": true}, {"check": "column_drift", "column": "quantity", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.006684453644791215, "violated": false}, {"check": "column_drift", "column": "item_id", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.6059149967490283, "violated": true}, {"check": "column_drift", "column": "segment", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.2, "value": 0.289438046331294, "violated": true}, {"check": "prediction_drift", "column": "prediction", "method": "jensenshannon", "note": "", "signal": "drift", "threshold": 0.3, "value": 0.1710084915536977, "violated": false}, {"check": "unit_change", "column": "unit_price", "method": "rescaled_by", "note": "", "signal": "fault", "threshold": 1.5, "value": 1.0, "violated": false}, {"check": "unit_change", "column": "quantity", "method": "rescaled_by", "note": "", "signal": "fault", "threshold": 1.5, "value": 1.0, "violated": false}, {"check": "missing_values", "column": "item_id", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.0, "violated": false}, {"check": "missing_values", "column": "unit_price", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.0, "violated": false}, {"check": "missing_values", "column": "user_id", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.3, "value": 0.004228456536141886, "violated": false}, {"check": "missing_days", "column": "event_at", "method": "days_missing", "note": "", "signal": "fault", "threshold": 1.0, "value": 0.0, "violated": false}, {"check": "volume", "column": "rows", "method": "times_usual", "note": "", "signal": "fault", "threshold": 4.0, "value": 1.1462217860647694, "violated": false}, {"check": "doubled_rows", "column": "rows", "method": "share_grew", "note": "", "signal": "fault", "threshold": 0.1, "value": 0.0, "violated": false}, {"check": "frozen_rows", "column": "rows", "method": "share_repeated", "note": "", "signal": "fault", "threshold": 0.5, "value": 0.09954393965970883, "violated": false}], "current_rows": 12728, "evidence": "c1e0b1d4d3a138c6da2c5e646389b201e3c7b81d9effeb5baba4048a00413836", "figures": {"answers": 6360.0, "brier": 0.13116006076284856, "calibration_error": 0.25057944447440234, "calibration_ratio": 4.691366914668788, "cold_share": 0.0, "dcg": 0.32948416491346344, "dcg_corrected": 1.2907951272024047, "doubled_answer_share": 0.0, "hit_rate": 0.2117437722419929, "hit_share": 0.06788256227758008, "hit_share_corrected": 0.3407473309608541, "invalid_share": 0.0, "item_coverage": 0.8166666666666667, "label_coverage": 1.0, "log_cold_share": 0.0, "log_doubled_share": 0.0, "log_invalid_share": 0.0, "matured_answers": 1124.0, "subjects": 636.0, "value_per_answer": 40.813265124555144}, "new_labels": 27078, "reference": "version 1, data before 2025-12-22", "reference_rows": 53994, "report_uri": "http://127.0.0.1:5000/#/experiments/1/runs/971b324afdf5411aab222104a69d7d4b/artifacts/drift.html", "run_id": "971b324afdf5411aab222104a69d7d4b", "use_case": "purchase_propensity", "violated": true, "window": {"end": "2026-02-17", "start": "2026-01-20"}}');
CREATE TABLE events (
	sequence INTEGER NOT NULL, 
	use_case VARCHAR(63) NOT NULL, 
	event_id VARCHAR(200) NOT NULL, 
	user_id VARCHAR(200) NOT NULL, 
	item_id VARCHAR(200) NOT NULL, 
	event_type VARCHAR(16) NOT NULL, 
	event_at DATETIME NOT NULL, 
	ingested_at DATETIME NOT NULL, 
	value FLOAT, 
	quantity FLOAT NOT NULL, 
	PRIMARY KEY (sequence), 
	UNIQUE (use_case, event_id)
);
INSERT INTO "events" VALUES(1,'purchase_propensity','e1','u1','i1','purchase','2026-11-29 22:40:30.000000','2026-11-29 22:40:30.000000',2.5,1.0);
CREATE TABLE ledger (
	use_case VARCHAR(63) NOT NULL, 
	sequence INTEGER NOT NULL, 
	action VARCHAR(16) NOT NULL, 
	version INTEGER NOT NULL, 
	previous_version INTEGER, 
	manifest_digest VARCHAR(64) NOT NULL, 
	data_digest VARCHAR(64) NOT NULL, 
	report_digest VARCHAR(64) NOT NULL, 
	code_version VARCHAR(64) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	trust VARCHAR(16), 
	is_override BOOLEAN, 
	reason TEXT NOT NULL, 
	dag_run VARCHAR(250) NOT NULL, 
	at DATETIME NOT NULL, 
	entry_digest VARCHAR(64) NOT NULL, 
	previous_digest VARCHAR(64) NOT NULL, 
	PRIMARY KEY (use_case, sequence)
);
INSERT INTO "ledger" VALUES('purchase_propensity',1,'promote',1,NULL,'ac078400572a42873ee8f0e32a46417bb6fc4f859c8a4e72910dabeec66c6a2a','32895dd4c65a197a2798045c98f890be5d832b7d0deec9a09b76df0af105c332','217d61a5041ef74562eef14b69917bd4fb75c447013a4101d17bff836acde326','119677811267','policy:auto','policy',0,'passed every enabled gate','asset_triggered__2026-11-29T22:35:49.815538+00:00_UaOtl9t3','2026-11-29 22:35:55.139220','615f25fc0f05cedc730e97dbc4810c8852b0c339cb803ae91318f5b4e8fea701','0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO "ledger" VALUES('purchase_propensity',2,'promote',3,1,'1aab13814053006405f66040ed6e32025e2b3adf2ec16a1c3c4cf7d89283edff','be7b056efeb290f25e2d5f3c96006457d85e410e3f3ee7248e4aefe0340a3519','31ea3031e54c620737a7252275c9eccd1f56370c77e73aac6aa9774e6bb09a3e','119677811267','policy:auto','policy',0,'passed every enabled gate','asset_triggered__2026-11-29T22:40:57.513945+00:00_KaoHa7Dg','2026-11-29 22:41:03.219650','2390d77642c463f15d052a535b334935e6bf84340b47476671ebcb700daa15a5','615f25fc0f05cedc730e97dbc4810c8852b0c339cb803ae91318f5b4e8fea701');
INSERT INTO "ledger" VALUES('purchase_propensity',3,'rollback',1,3,'ac078400572a42873ee8f0e32a46417bb6fc4f859c8a4e72910dabeec66c6a2a','32895dd4c65a197a2798045c98f890be5d832b7d0deec9a09b76df0af105c332','217d61a5041ef74562eef14b69917bd4fb75c447013a4101d17bff836acde326','119677811267','demo','on_trust',0,'shown in the demo','manual__2026-11-29T22:41:05.000276+00:00','2026-11-29 22:41:16.070767','f84c4642ed6a74236f8828c7a6c9e88fef6f838b6385dd84fdc64a9b1a209635','2390d77642c463f15d052a535b334935e6bf84340b47476671ebcb700daa15a5');
CREATE TABLE outcomes (
	use_case VARCHAR(63) NOT NULL, 
	prediction_id VARCHAR(200) NOT NULL, 
	item_id VARCHAR(200) NOT NULL, 
	label FLOAT NOT NULL, 
	happened_at DATETIME NOT NULL, 
	ingested_at DATETIME NOT NULL, 
	PRIMARY KEY (use_case, prediction_id, item_id)
);
INSERT INTO "outcomes" VALUES('purchase_propensity','p1','i1',1.0,'2026-11-29 22:40:30.000000','2026-11-29 22:40:30.000000');
CREATE TABLE retrain_decisions (
	id INTEGER NOT NULL, 
	use_case VARCHAR(63) NOT NULL, 
	idempotency_key VARCHAR(200) NOT NULL, 
	window_start VARCHAR(10) NOT NULL, 
	window_end VARCHAR(10) NOT NULL, 
	retrain INTEGER NOT NULL, 
	decision TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (use_case, idempotency_key)
);
INSERT INTO "retrain_decisions" VALUES(1,'purchase_propensity','2025-09-01..2025-12-22@none','2025-09-01','2025-12-22',1,'{"alert": false, "cause": "no_champion", "considered_windows": 1, "idempotency_key": "2025-09-01..2025-12-22@none", "reason": "there is no champion yet; 0 of the last 1 windows violated, 2 needed; this window was not checked", "report_uri": "", "retrain": true, "signals": [], "use_case": "purchase_propensity", "violated": false, "violations": 0, "window": {"end": "2025-12-22", "start": "2025-09-01"}}');
INSERT INTO "retrain_decisions" VALUES(2,'purchase_propensity','2025-12-22..2025-12-23@1#9ec1e7bddb95','2025-12-22','2025-12-23',0,'{"alert": false, "cause": "none", "considered_windows": 2, "idempotency_key": "2025-12-22..2025-12-23@1#9ec1e7bddb95", "reason": "0 of the last 2 windows violated, 2 needed", "report_uri": "http://127.0.0.1:5000/#/experiments/1/runs/3d9f39a1dec44b9bb919dd8af82ae3bc/artifacts/drift.html", "retrain": false, "signals": [], "use_case": "purchase_propensity", "violated": false, "violations": 0, "window": {"end": "2025-12-23", "start": "2025-12-22"}}');
INSERT INTO "retrain_decisions" VALUES(3,'purchase_propensity','2025-12-23..2026-01-20@1#75317f4e3415','2025-12-23','2026-01-20',0,'{"alert": false, "cause": "none", "considered_windows": 3, "idempotency_key": "2025-12-23..2026-01-20@1#75317f4e3415", "reason": "1 of the last 3 windows violated, 2 needed", "report_uri": "http://127.0.0.1:5000/#/experiments/1/runs/4ee8672e12744172b908782daad92465/artifacts/drift.html", "retrain": false, "signals": ["drift"], "use_case": "purchase_propensity", "violated": true, "violations": 1, "window": {"end": "2026-01-20", "start": "2025-12-23"}}');
INSERT INTO "retrain_decisions" VALUES(4,'purchase_propensity','2026-01-20..2026-02-17@1#c1e0b1d4d3a1','2026-01-20','2026-02-17',1,'{"alert": false, "cause": "drift", "considered_windows": 3, "idempotency_key": "2026-01-20..2026-02-17@1#c1e0b1d4d3a1", "reason": "2 of the last 3 windows violated, 2 needed", "report_uri": "http://127.0.0.1:5000/#/experiments/1/runs/971b324afdf5411aab222104a69d7d4b/artifacts/drift.html", "retrain": true, "signals": ["drift"], "use_case": "purchase_propensity", "violated": true, "violations": 2, "window": {"end": "2026-02-17", "start": "2026-01-20"}}');
CREATE TABLE retrain_requests (
	use_case VARCHAR(63) NOT NULL, 
	idempotency_key VARCHAR(200) NOT NULL, 
	as_of VARCHAR(10) NOT NULL, 
	taken_by VARCHAR(250) NOT NULL, 
	version INTEGER, 
	passed BOOLEAN, 
	PRIMARY KEY (use_case, idempotency_key)
);
INSERT INTO "retrain_requests" VALUES('purchase_propensity','2025-09-01..2025-12-22@none','2025-12-22','asset_triggered__2026-11-29T22:35:01.467379+00:00_UohfZNEQ',1,1);
INSERT INTO "retrain_requests" VALUES('purchase_propensity','by hand: manual__2026-11-29T22:36:49.174968+00:00','2025-12-23','manual__2026-11-29T22:36:49.174968+00:00',2,0);
INSERT INTO "retrain_requests" VALUES('purchase_propensity','2026-01-20..2026-02-17@1#c1e0b1d4d3a1','2026-02-17','asset_triggered__2026-11-29T22:39:48.917993+00:00_j6FVl2xO',3,1);
CREATE TABLE reviews (
	id INTEGER NOT NULL, 
	use_case VARCHAR(63) NOT NULL, 
	idempotency_key VARCHAR(64) NOT NULL, 
	version INTEGER NOT NULL, 
	report_digest VARCHAR(64) NOT NULL, 
	said VARCHAR(100) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	trust VARCHAR(16), 
	reason TEXT NOT NULL, 
	door VARCHAR(16) NOT NULL, 
	dag_run VARCHAR(250) NOT NULL, 
	at DATETIME NOT NULL, 
	why_not TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (use_case, idempotency_key)
);
INSERT INTO "reviews" VALUES(1,'purchase_propensity','ab77449de23f9508a8e13e53d381231a3a8ee8979e6297be8f0a57ae1c88eb7d',3,'31ea3031e54c620737a7252275c9eccd1f56370c77e73aac6aa9774e6bb09a3e','opened','',NULL,'','airflow_page','asset_triggered__2026-11-29T22:40:57.513945+00:00_KaoHa7Dg','2026-11-29 22:40:30.000000','nobody''s word: open until 2026-12-06 22:40 UTC');
INSERT INTO "reviews" VALUES(2,'purchase_propensity','732221fa426ac4d25c2d26fcf7cc339c386e1c6bc8cb1a5d6af387f910aa94ff',3,'31ea3031e54c620737a7252275c9eccd1f56370c77e73aac6aa9774e6bb09a3e','approved','ada','signed','better on new users','mlflow','asset_triggered__2026-11-29T22:40:57.513945+00:00_KaoHa7Dg','2026-11-29 22:41:30.000000','');
CREATE INDEX events_of_user ON events (use_case, user_id);
COMMIT;
