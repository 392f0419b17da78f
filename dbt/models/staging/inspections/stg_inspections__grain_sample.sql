{{ stage('inspections', 'grain_sample') }}
